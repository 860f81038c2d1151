"""Parameters: read from Parameter Store or a file, checked, and written where systemd reads them."""
