"""Making and uploading a release: card, deposit, files."""
