"""systemd's interfaces: readiness notification, the journal, systemctl and EnvironmentFile."""
