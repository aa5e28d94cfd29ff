"""Several workers over one port and one data folder: who starts them, watches and ends them."""
