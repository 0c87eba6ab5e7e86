"""A local web page that predicts scans which are dropped onto it."""
