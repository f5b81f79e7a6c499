"""SMTP accounts: a pipelining client (RFC 5321, RFC 2920) behind the adapter port."""
