"""Finding things in text: concepts of vocabularies, abbreviations, and what is denied or only supposed."""
