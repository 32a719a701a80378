"""Pictures compressed to weights: ``.cnet`` files."""
