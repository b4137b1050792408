"""What Android's `dumpsys` prints, one file for each service; what is absent stays absent."""
