"""Names that tell something about an address, as data."""

_ROLES = (
    # RFC 2142 §3 to §5: business, network and services
    "info marketing sales support abuse noc security postmaster hostmaster usenet news webmaster "
    "www uucp ftp "
    # administration
    "admin admins administrator administration root sysadmin sysop system it itsupport hosting "
    "domain domains dns ssladmin ssladministrator network networking devops ops operations "
    "operator webadmin web mailerdaemon mailer daemon mail email postoffice nobody noreply "
    "donotreply dontreply unsubscribe subscribe bounce bounces list lists listserv majordomo "
    "newsletter newsletters notification notifications alert alerts monitoring "
    # people in their function
    "accounting accounts accountspayable accountsreceivable ap ar billing finance invoice invoices "
    "orders order payments payment payroll purchasing buchhaltung rechnung rechnungen comptabilite "
    "contabilidad booking bookings reservations reservation reception rezeption "
    "ceo cfo coo cto director management office buero secretary sekretariat secretariat board "
    "hr humanresources jobs job career careers bewerbung recruiting recruitment empleo "
    "contact contacts contactus kontakt contacto contato contatti hello hi hallo enquiries enquiry "
    "inquiries inquiry feedback help helpdesk service services customerservice customercare "
    "customersupport customer customers client clients kundenservice kundendienst "
    "legal privacy compliance datenschutz dpo gdpr copyright dmca fraud phish phishing spam "
    "press presse media pr communications advertising ads partner partners partnership affiliate "
    "affiliates investors investor relations events event team staff all everyone everybody group "
    "students faculty alumni members membership school shop store test testing tech technical "
    "development dev developer developers engineering research studio design editor editorial "
    "redaktion webteam warranty returns shipping dispatch logistics warehouse guest guests "
    "vertrieb verkauf einkauf ventas soporte suporte ajuda vendite"
)
#: RFC 2142, and what else offices call the mailboxes that several people read or nobody does.
ROLE_NAMES = frozenset(_ROLES.split())

_LARGE = (
    "gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.fr yahoo.de yahoo.it yahoo.es yahoo.in "
    "yahoo.co.in yahoo.com.br yahoo.ca yahoo.co.jp ymail.com rocketmail.com hotmail.com "
    "hotmail.co.uk hotmail.fr hotmail.de hotmail.it hotmail.es outlook.com outlook.de outlook.fr "
    "outlook.es live.com live.co.uk live.fr live.nl msn.com icloud.com me.com mac.com aol.com "
    "protonmail.com proton.me gmx.de gmx.net gmx.at gmx.ch web.de t-online.de freenet.de "
    "mail.com mail.ru yandex.ru yandex.com rambler.ru inbox.ru list.ru orange.fr wanadoo.fr "
    "laposte.net free.fr sfr.fr libero.it virgilio.it tiscali.it alice.it comcast.net verizon.net "
    "sbcglobal.net bellsouth.net att.net cox.net charter.net earthlink.net btinternet.com sky.com "
    "virginmedia.com ntlworld.com talktalk.net telenet.be skynet.be ziggo.nl planet.nl "
    "bluewin.ch uol.com.br bol.com.br terra.com.br naver.com hanmail.net qq.com 163.com 126.com "
    "fastmail.com zoho.com rediffmail.com bigpond.com optusnet.com.au shaw.ca rogers.com "
    "sympatico.ca wp.pl onet.pl o2.pl interia.pl seznam.cz centrum.cz abv.bg ukr.net"
)
#: Mailbox providers so large that another domain of nearly their name is most likely a slip.
LARGE_DOMAINS = tuple(_LARGE.split())

#: Slips that somebody has registered, so that lists of providers name them.
REGISTERED_SLIPS = frozenset(
    {"gmial.com", "hotmai.com", "hotmial.com", "h0tmaii.com", "yaho.com", "sbcglbal.net"}
)

_SPECIAL = "alt arpa example home internal invalid lan local localdomain localhost onion test"
#: Top-level names that no public mail reaches (RFC 2606, RFC 6761, RFC 6762, RFC 7686, RFC 9476).
SPECIAL_USE = frozenset(_SPECIAL.split())
