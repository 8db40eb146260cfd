//! Step 7, something to run: OCI images, the store, layers.
