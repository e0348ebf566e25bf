"""An XMPP server with push built in: both halves of XEP-0357 in one process."""
