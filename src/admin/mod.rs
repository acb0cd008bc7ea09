//! The admin listener: is the process alive, and is it ready?
