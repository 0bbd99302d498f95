"""What every service needs and none owns: settings, deadlines, columns, errors, servers."""
