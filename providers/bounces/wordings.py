"""Rules by what servers say: the first that applies decides.

Words go before codes: the same code stands for different things at different servers, the words
rarely do. Among the words, what speaks of us goes before what speaks of the recipient: a server
that calls our network bad may well add that it knows no such user.
"""

from __future__ import annotations

from providers.bounces.classes import BounceClass as Is
from providers.bounces.table import dead, recipient, sender

#: Machines that answer instead of people; their mails have no reply code.
ANSWERS = (
    recipient(
        Is.CHALLENGE,
        r"\bboxbe\b|spam ?arrest|challenge.?response|"
        r"(confirm|verify|prove) (that )?(you|your (e-?mail|message|address)).{0,60}"
        r"(sent|human|person|sender|deliver)|"
        r"(approve|authenticate|confirm) yourself|to (have|get) your (e-?mail|message) delivered",
        codes=(0,),
    ),
    recipient(
        Is.AUTO_REPLY,
        r"out of (the )?office|\bauto(matic(ally)?)?[ -]?(reply|response|responder)|on vacation|"
        r"away from (my|the) (office|desk|e-?mail)|abwesenheit|automatische antwort|"
        r"absence du bureau|réponse automatique|respuesta automática|автоответ|自动回复",
        codes=(0,),
    ),
)

#: Wordings of one product each that would be misread below.
MARKS = (
    # Exchange Online rejects what its directory does not know at the edge.
    dead(Is.ADDRESS, r"recipient address(es)? rejected ?: access denied", status=r"4\.1"),
    dead(
        Is.ADDRESS,
        r"resolver\.adr\.(ex)?recipnotfound|resolver\.adr\.recipientnotfound|recipientnotfound",
    ),
    recipient(Is.POLICY, r"resolver\.rst\.(authrequired|notauthorized|sendernotauthenticated)"),
    recipient(Is.POLICY, r"transport\.rules\.rejectmessage|restrictdomainsto|delivery.?restrict"),
    recipient(Is.SIZE, r"resolver\.rst\.(recipsizelimit|sendsizelimit)"),
    sender(Is.TRANSIENT, r"sendasdenied|submissionquotaexceeded|message submission rate"),
    recipient(Is.TRANSIENT, r"recipientthreadlimitexceeded|storedrv.{0,80}(thread|busy|retry)"),
    # Outlook.com
    sender(Is.REPUTATION, r"\(s31[45]0\)|part of their network is on our block ?list"),
    sender(Is.REPUTATION, r"\b(rp|dy|sc|ou)-00\d\b"),
    # Gmail
    recipient(Is.TRANSIENT, r"receiving (mail|messages) (at a rate|too quickly)"),
    sender(Is.TRANSIENT, r"(daily|hourly) .{0,30}sending (quota|limit)|sending limits? exceeded"),
    # Yahoo
    dead(Is.ADDRESS, r"this user doesn'?t have an? \S{1,80} account"),
    dead(Is.ADDRESS, r"this mailbox is disabled|\(554\.30\)"),
    sender(Is.REPUTATION, r"\[(tss?\d\d|bl\d\d|gl\d\d|ipts\d\d)\]"),
    sender(Is.CONTENT, r"\[(ph|sp)\d\d\]"),
    sender(Is.AUTHENTICATION, r"postmaster-28|error-codes?#?.{0,10}dmarc"),
    sender(Is.POLICY, r"message not accepted for policy reasons"),
    # Apple and Proofpoint
    sender(Is.POLICY, r"\[(cs|hm)\d\d\]"),
    sender(Is.REPUTATION, r"proofpoint\.com/(report|\?ip)|ipcheck\.proofpoint"),
    sender(Is.CONTENT, r"\[p\d\] message blocked"),
    # Postfix
    recipient(Is.TRANSIENT, r"address verification in progress"),
    # qmail
    recipient(Is.ROUTING, r"in the queue too long"),
    # Orange and others by the same system
    dead(Is.ADDRESS, r"ofr\w*[_ ](416|418)\b|adresse d.{0,3}au moins un destinataire invalide"),
    recipient(Is.MAILBOX_FULL, r"ofr\w*_417\b|bo[iî]te du destinataire pleine"),
    sender(Is.CONTENT, r"ofr\w*_(506|515)\b"),
    sender(Is.TRANSIENT, r"ofr\w*_(104|108|201|203|403|999)\b"),
    # GMX and WEB.DE; the latter may follow the words for a mailbox that is not there.
    sender(Is.TRANSIENT, r"limit per (hour|day|minute)"),
    recipient(Is.POLICY, r"reject due to policy restrictions"),
    # 163 and 126
    sender(Is.CONTENT, r"\b(dt|mi):(spm|spb|vir|sum)\b"),
    sender(Is.AUTHENTICATION, r"\bmi:(spf|dma|dmc|nhd)\b"),
    sender(Is.TRANSIENT, r"\b(hl|mi):(ifc|icc|itc|mec|mcc|cal|sfq)\b|\brp:(drc|cql|trc|cel|qrc)\b"),
    sender(Is.REPUTATION, r"\b(dt|ip|hl):(spm|rep|ipb|dip)\b|\brp:rcl\b"),
    # QQ: one sentence for no such mailbox and for being refused by its owner.
    recipient(Is.UNKNOWN, r"mailbox unavailable or access denied"),
    recipient(Is.POLICY, r"rejected by (the )?recipients?\b|suspected bounce attack"),
    sender(Is.TRANSIENT, r"frequency (is )?limited"),
    sender(Is.CONTENT, r"mail content denied"),
    sender(Is.REPUTATION, r"connection denied"),
    # Barracuda
    sender(Is.REPUTATION, r"barracuda ?(reputation|central|networks\.com/reputation)"),
    recipient(Is.POLICY, r"permanent failure for one or more recipients \(\S{0,80}:blocked\)"),
    # Mimecast
    sender(Is.CONTENT, r"mcspam|rejected due to security policies - mc"),
    sender(Is.AUTHENTICATION, r"(spf|dkim|dmarc) sender invalid|anti-?spoofing"),
    recipient(Is.TRANSIENT, r"(recipient|sender|internal resources?|account service)"
              r".{0,12} temporarily (unavailable|blocked)"),
    recipient(Is.TRANSIENT, r"temporarily (disabled|unavailable|suspended|inactive|closed|locked)"),
    recipient(Is.POLICY, r"administrative prohibition|security policies|local policy violation"),
    # Amazon SES and others keep lists of their own.
    dead(Is.ADDRESS, r"history of (bouncing|producing hard bounces)"),
    recipient(Is.POLICY, r"suppression list|(is|are|was|marked as) (inactive|suppressed)\b.{0,40}"
              r"recipient|recipients?\b.{0,60}(marked as inactive|suppressed|unsubscribed)"),
)  # fmt: skip

# Where a mail comes from: its envelope, its header, or what the server calls that. A mail that goes
# "to the sender" is not meant.
_OURS = (
    r"\b(?<!to )(?<!to the )(sender'?s?|envelope[- ]?from|(return|reverse)[- ]?path|"
    r"mail ?from(?! unknown (people|persons|senders|sources|hosts))|originator'?s?|"
    r"bounce (address|mailbox)|(header|in) from|from[: -]{1,2}(header|address|domain)( address)?)\b"
)
# How what they name is wanting, in words that are said of recipients too.
_WANTING = (
    r"\b(no such|not found|not a valid|(not|n'?t) exist|(not|n't) (resolve|be (found|"
    r"resolved|verified))|unknown|unresolv\w+|unrouteable|undeliverable|unavailable|closed|deactivated|"
    r"nxdomain|null ?mx|(no|without) (valid )?(mx|dns|a|mail)\b)"
)

#: Of us.
SENDER_SIDE = (
    sender(Is.TRANSIENT, r"gr[ea]y-?\s?list"),
    sender(
        Is.AUTHENTICATION,
        r"\b(spf|dkim|dmarc|arc)\b.{0,100}\b(fail|not pass|did ?n.t pass|reject|invalid|polic|"
        r"softfail|denied|mandatory|required|missing|check|none|unauth)|"
        r"(fail|not pass|pass|reject|polic|violat)\w*.{0,60}\b(spf|dkim|dmarc)\b|"
        r"unauthenticated|sen(der|ding) domain.{0,40}not (pass|authenticat)|"
        r"not allowed to send mail from|"
        r"not (a )?(designated|permitted|authori[sz]ed) (sender|to send)",
    ),
    sender(
        Is.AUTHENTICATION,
        r"\bptr\b|reverse (dns|host ?name|lookup|ip)|\brdns\b|resource record|"
        r"(cannot|can'?t|could not) (find|resolve) your (reverse )?(host ?name|address|domain)|"
        r"no (valid )?reverse|missing reverse|"
        r"\b(ip( address)?|client( host| name)?)\b.{0,60}\b(unknown|invalid|"
        r"not (found|known|valid|recogni[sz]ed))",
    ),
    sender(
        Is.AUTHENTICATION,
        r"authentication (is )?required|must (be )?authenticat|not authenticated|"
        r"relaying denied.{0,60}authenticat|requires? authentication",
    ),
    sender(
        Is.REPUTATION,
        r"block(ed|ing)? (using|by|due to|because).{0,80}(list|spamhaus|rbl|dnsbl|reputation)|"
        r"spamhaus|spamcop|sorbs\.net|uceprotect|barracudacentral|senderscore|invaluement|"
        r"abuseat\.org|surbl|uribl|\b[rd]nsbls?\b|\brbls?\b|\bdbl\b|cloudmark|"
        r"(black|block|deny)[- ]?list(ed)?|"
        r"(low|poor|bad) (\w+ ){0,3}reputation|reputation of (the|your)|"
        r"(banned|blocked) (sending |source |sender )?(ip\b|sender|network|host)|"
        r"\bip( address)?\b.{0,60}\b(is |has been |was )?(blocked|banned|listed|rejected)|"
        r"unsolicited (mail|messages|e-?mail) (originating|from|has been|coming)|"
        r"access from ip address|your (ip|mail ?server|network|host|domain).{0,60}"
        r"(blocked|refused|rejected|reputation|banned|not (seem|accept))|"
        r"user complaints|excessive (spam|complaints)|abuse detected|unusual rate of",
    ),
    sender(
        Is.TRANSIENT,
        r"exceeded the max(imum)? (e-?mails|defers|messages)|(max(imum)?|allowed) "
        r"(e-?mails|messages) per (hour|day)|message rate limit",
    ),
    sender(
        Is.POLICY,
        r"sender.{0,40}\b(rejected|refused|denied|verify failed|not (allowed|accepted|exist)|"
        r"unknown|invalid|blocked|suspended|disabled|must|has no)|"
        r"for sender address|n'?t exist.{0,20}sender|"
        r"(invalid|bad|unknown|malformed|null) (sender|from\b|return[- ]path)|"
        r"(mail from|return[- ]path|from (address|domain|header)|(you are )?sending from)\b.{0,40}"
        r"(reject|invalid|exist|denied|refused|not found|suspended)|"
        r"\b(helo|ehlo)\b.{0,60}(reject|invalid|refus|denied|need|required|name|command|argument|"
        r"exist|not found|unknown)|"
        r"expediteur|expéditeur|client host|\byou are not\b|"
        r"\byour (sen\w+ )?(account|mailbox|e-?mail account|user|domain|address)\b|"
        r"(sending|sender'?s?|outgoing|outbound)( e-?mail)? (account|user|mail|messages?)\b",
    ),
    # What follows "to", or another part of the sentence, speaks of somebody else.
    sender(Is.POLICY, _OURS + r"((?!recipient|rcpt|\bto\b|[.,;]).){0,40}?" + _WANTING),
    sender(
        Is.POLICY,
        _WANTING
        + r"( (user|mailbox|address|account|domain( name)?|mail|host|system|records?)){0,3}"
        r"( (in|of|for|as)|:)( (the|your|envelope|smtp)){0,2} " + _OURS + r"|"
        r"\b(invalid|bad|unknown|unrouteable|undeliverable|no such|bad destination \w+ in) "
        r"(mail ?from|(return|reverse)[- ]?path|originator|envelope[- ](from|sender)|sender)\b|"
        r"sender (address )?call(out|back)|"
        r"(verify|verifying|verification of) (the )?(envelope )?(sender|(return|reverse)[- ]?path)|"
        r"mail domain in " + _OURS,
    ),
    # By RFC 3463 the sender's address and the sender's system, by RFC 7505 the sender's null MX.
    sender(Is.POLICY, status=r"1\.[78]"),
    sender(Is.POLICY, r"null ?mx", status=r"7\.27"),
    recipient(
        Is.POLICY,
        r"rel(ay|aying) (access |is |operation )?(denied|not permitted|prohibited|not allowed)|"
        r"unable to relay|not permitted to relay|cannot relay|rcpthosts|we do not relay|"
        r"no relaying|n[o't]{2,3} accept (e-?mail|mail|messages) (from|by|that|which|with)|"
        r"(only|just) (accepts?|receives?) (e-?mail|mail|messages)|from unknown",
    ),
    sender(
        Is.CONTENT,
        r"(invalid|malformed|missing|bad|duplicate|multiple|unknown) (\S+ ){0,2}"
        r"(headers?|mime|date|message-?id|subject|attachments?|charset|encoding|links?)\b",
    ),
    # Filters that refuse at RCPT, or with the code of an unknown mailbox.
    sender(
        Is.CONTENT,
        r"(reject|refus|block|filter|denied)\w*( by| as| for| due to| because of|:) (\S+ ){0,3}?"
        r"(spam|virus|malware|phishing|content)\b|"
        r"(identified|detected|classified|considered|flagged|marked|recogni[sz]ed) (as |to be )?"
        r"(likely |possible |possibly )?(spam|junk|virus|malware|phishing)\b|"
        r"\b(spam|virus|malware|phishing) (message |was |is |has been )*(detected|found|rejected)|"
        r"\bcontent (was |is |has been )?(not (accepted|allowed)|rejected|refused|denied)",
    ),
)

_NOUNS = (
    r"\b(user|recipient|mail ?box|account|(?<!ip )address|addressee|person|alias|customer|"
    r"subscriber|in-?box|mailbox name|local part|destinat\w+|usuario|utilisateur|adresse|"
    r"employee|benutzer|utente|postfach)\b"
)

#: Of the mailbox or the way to it.
RECIPIENT_SIDE = (
    recipient(
        Is.MAILBOX_FULL,
        r"(mail ?box|in-?box|mail ?folder|mail ?drop|storage|disk|quota|account|postfach|user)\b"
        r".{0,50}\b(full|exceeded|over ?quota|over (the |its |his )?(\w+ )?(quota|limit)|"
        r"out of storage|voll|überschritten|(not|n't) (have )?enough|is not enough|pleine)|"
        r"over ?quota|exceed\w* .{0,20}\b(quota|storage)|out of (storage|disk) ?(space)?|"
        r"insufficient (disk |storage |mailbox )?(space|storage)|"
        r"not enough (disk |storage )?space|quota (exceed|violation)|boite pleine|buzón lleno",
    ),
    sender(
        Is.SIZE,
        r"(messages?|mail|e-?mail|size)\b.{0,40}\b(too (large|big)|exceed\w*.{0,30}"
        r"(size|limit|maximum|databytes)|larger than)|size limit|maximum (message|allowed) size|"
        r"message (length exceeds|(is )?too long)",
    ),
    recipient(
        Is.ROUTING,
        r"connection (was |has been )?(refused|reset|lost|dropped|closed|timed|failed)|"
        r"lost connection|closed (the )?connection|too many hops|hop count|"
        r"(message|delivery( time)?|queue|retry( time)?)( has| was)? expired",
    ),
    # A name server that failed to answer says nothing of the domain.
    recipient(
        Is.ROUTING,
        r"(name service error|dns|domain|host|mx|name ?server)\b.{0,100}"
        r"(try again|time-?d? ?out|temporar|servfail|query failed|lookup fail|not respond)",
    ),
    dead(
        Is.ROUTING,
        r"null ?mx|indicated no smtp service|"
        r"\bdomain( name)?\b.{0,40}\b(not exist|n'?t exist|not found|nonexistent|non-existent|"
        r"has expired|has no (mx|mail))|\bdomain (name )?(is )?(invalid|unknown)|"
        r"host or domain name not found|couldn'?t find any host named|nxdomain|"
        r"unknown (recipient )?domain|unrouteable (mail )?domain|"
        r"bad destination (system|host|domain)|no such (domain|host)|"
        r"\bhost (name )?(not found|unknown)",
    ),
    dead(
        Is.ADDRESS,
        r"\b(?!unknown address error|no valid recipients?\b)"
        r"(no|not an?|isn'?t an?|non-?existent|unknown|invalid|unrouteable|undeliverable|"
        r"incorrect|bad|wrong|no such)\b ?(such |valid |active |local |known |email |e-mail |mail |"
        r"recipient |destination |to |virtual |final |delivery )*(user|users|person|recipient|"
        r"recipients|mailbox|mail box|address|addresses|account|alias|customer|subscriber|"
        r"destinat\w+|local part|inbox)\b",
    ),
    # It is not there.
    dead(
        Is.ADDRESS,
        _NOUNS + r".{0,90}?\b(unknown|not found|not exist|n'?t exist|not known|not listed|"
        r"not valid|not recogni[sz]ed|no longer (\w+ )?(valid|active|available|exists?|in use|"
        r"accepts?|on server|works?|with|employ)|nonexistent|non-existent|unbekannt|inconnue?|"
        r"desconocido|sconosciuto|existiert nicht|existe pas|no existe|не существует|"
        r"could ?n[o']t be found|can'?t be found|cannot be found|not be found|"
        r"not (our|a|an) (\w+ )?(customer|user|account|mailbox|recipient))",
    ),
    # It was closed. Said of other things too, so it must stand close by.
    dead(
        Is.ADDRESS,
        _NOUNS + r".{0,30}?\b(closed|disabled|deactivated|inactive|deleted|suspended|expired|"
        r"terminated|discontinued|abandoned|invalid|undeliverable|unrouteable|"
        r"has (been )?(moved|left|changed))\b",
    ),
    dead(
        Is.ADDRESS,
        r"not our customer|no mailbox here|mailbox not found|user unknown|unknown user|"
        r"unrouteable address|recipient (unknown|not found)|"
        r"does ?n[o']t (have|handle|host) .{0,20}(account|mailbox|user)|"
        r"calls the address invalid|not contain a valid address|is not a valid (e-?mail|address|"
        r"mailbox)|no account by (that|this) name|can'?t (be )?verif\w+ recipient|"
        r"address no longer accepts|addressee unknown|该邮箱不存在|用户不存在|收件人不存在|"
        r"почтовый ящик .{0,40}не (найден|существует)|нет такого (пользователя|ящика)|"
        r"unbekannter (empfänger|benutzer)|empfänger unbekannt|destinataire (inconnu|invalide)",
    ),
    # The words of RFC 5321 for 450 and 550, where the next line says why.
    recipient(
        Is.POLICY,
        r"mailbox (unavailable|not available)\b.{0,200}\b(polic(y|ies)|prohibit\w*|restrict\w*|"
        r"access denied|not (allowed|permitted|accepted|authori[sz]ed)|"
        r"(messages?|e-?mails?) (\w+ ){0,2}(rejected|refused|blocked|denied))",
    ),
    # The same alone: GMX and Outlook.com say no more of who is not there.
    recipient(Is.TRANSIENT, r"mailbox (unavailable|not available)", codes=(450,)),
    dead(
        Is.ADDRESS,
        r"mailbox (unavailable|not available)",
        status=r"((5|0)\.0|1\.\d+)?",
        codes=(0, 550),
    ),
)

#: Read only where neither words above nor the enhanced code tell.
VAGUE = (
    sender(
        Is.TRANSIENT,
        r"too (many|much|fast|quickly)|rate ?limit|throttl|slow down|try (again )?later|"
        r"try again|temporar|deferr|busy|resources|overload|over capacity|come back|later",
    ),
    recipient(
        Is.ROUTING,
        r"timed? ?out|connection (refused|reset|lost|dropped|failed)|lost connection|no route|"
        r"unreachable|network|loops? back|mail loop|"
        r"retry time(out)? (not reached|exceeded)|in the queue too long|delivery time expired|"
        r"no mx\b|mx records?|could not connect|no answer from host|not local|expired",
    ),
    sender(
        Is.CONTENT,
        r"spam|virus|malware|phish|content|suspicious|junk|unsolicited|bulk mail|dangerous|"
        r"attachment|\burl\b|links?\b|header|rfc ?(2822|5322)|message-id|subject|bare (lf|cr)|"
        r"line (is )?too long|line length|8bit|mime|infected|trojan|scored|"
        r"security (issue|reasons)",
    ),
    recipient(
        Is.POLICY,
        r"polic|not (allowed|permitted|authori[sz]ed|accepted)|prohibited|denied|refused|"
        r"rejected|blocked|restrict|prohibit|administrat|disallowed|unauthori[sz]ed|"
        r"permission|authenticated users|internal use|n[o't]{2,3} accept|"
        r"transaction failed|only (accepts|allowed)|\btls\b|\bssl\b",
    ),
)
