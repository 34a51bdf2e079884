//! Tells cargo to build anew when the web page was built anew.

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
}
