"""Operations: answers with data, for the command line and others."""
