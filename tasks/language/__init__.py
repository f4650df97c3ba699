"""Language modelling: real text, corpora and tokenizers."""
