//! The configuration: the file as written becomes the settings as meant.
