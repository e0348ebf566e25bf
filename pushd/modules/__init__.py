"""What XMPP means: one file per specification."""
