"""From raw samples to numbers that mean something, and to text."""
