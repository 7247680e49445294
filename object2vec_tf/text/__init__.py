"""Tokenizers, vocabularies and pretrained vectors."""
