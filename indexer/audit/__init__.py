"""What proves the tables right, or shows where they are wrong."""
