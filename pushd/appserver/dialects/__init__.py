"""The ways in which clients register, one a file, each with a switch of its own.

All end at the desk (`appserver/desk`), which knows no dialect: a dialect reads what its
clients send, and answers as they expect.
"""
