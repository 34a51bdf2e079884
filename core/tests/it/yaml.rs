//! Every YAML file of the corpora has a tree, save those that are meant to have none.

use tocsin_core::problem::has_errors;
use tocsin_core::yaml;

use crate::corpora;

#[test]
fn yaml_of_other_projects_reads_and_prints() {
    let Some(root) = corpora::path("") else { return };
    let files = corpora::files(&root, &["yml", "yaml", "rules"]);
    let mut refused = Vec::new();
    for path in &files {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let (node, problems) = yaml::parse(&path.to_string_lossy(), &text);
        match node {
            Some(node) if !has_errors(&problems) => {
                let printed = yaml::print(&node, &|_, _| None);
                let (again, problems) = yaml::parse("printed", &printed);
                assert!(!has_errors(&problems), "{}: {problems:?}\n{printed}", path.display());
                assert_eq!(yaml::print(&again.unwrap(), &|_, _| None), printed, "{}", path.display());
            }
            _ => refused.extend(problems.iter().map(|problem| problem.to_string())),
        }
    }
    println!("{} files, refused:\n{}", files.len(), refused.join("\n"));
    assert!(refused.iter().all(|problem| problem.contains(".bad.yml:")), "{refused:#?}");
}
