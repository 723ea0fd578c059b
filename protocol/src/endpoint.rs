//! The blocking end of a connection to the daemon, for the hook client and the commands.
