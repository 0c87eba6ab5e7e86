"""Slices in a browser: the component that every HTML page of the project shares."""
