//! Discovery of servers. Placeholder for the compiler; filled below.
