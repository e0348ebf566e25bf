"""The user side of XEP-0357: who is woken, when, with what."""
