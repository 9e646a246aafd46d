"""What this repository's own checks run."""
