"""The door for clients: TLS, SASL, binding, resumption."""
