"""Sockets: the only package that opens them."""
