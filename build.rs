//! Makes sure that the folder of built web assets exists, so that the product also compiles before
//! `npm run build`, and that it is embedded anew when it changes.

use std::fs;
use std::io;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=web/dist");
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=templates");
    fs::create_dir_all("web/dist")
}
