"""Words: tokenizers, vocabularies and pretrained vectors."""
