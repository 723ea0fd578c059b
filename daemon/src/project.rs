//! Which project a session belongs to: the main working tree of the repository where it started, so that all linked
//! working trees of one repository are one project; outside a repository the folder itself.

use std::fs;
use std::path::{Path, PathBuf};

use bursar_engine::ids::to_name;

/// The longest `.git` file that is read; it holds one path.
const MAX_POINTER_BYTES: u64 = 4 * 1024;

/// The project's name: the last part of its folder's path.
pub fn name(started_in: &Path) -> Option<String> {
    if !started_in.is_absolute() {
        return None;
    }
    let folder = main_working_tree(started_in).unwrap_or_else(|| started_in.to_owned());
    Some(to_name(&folder.file_name()?.to_string_lossy()))
}

fn main_working_tree(started_in: &Path) -> Option<PathBuf> {
    let (tree, git) = started_in
        .ancestors()
        .map(|folder| (folder, folder.join(".git")))
        .find(|(_, git)| fs::symlink_metadata(git).is_ok())?;
    let is_pointer = fs::metadata(&git).is_ok_and(|m| m.is_file() && m.len() <= MAX_POINTER_BYTES);
    if !is_pointer {
        return Some(tree.to_owned());
    }
    let text = fs::read_to_string(&git).ok()?;
    let target = tree.join(text.strip_prefix("gitdir:")?.trim());
    // A linked working tree's is <main working tree>/.git/worktrees/<name>; a submodule's is its own repository.
    let worktrees = target.parent()?;
    let shared = worktrees.parent()?;
    if worktrees.file_name()? == "worktrees" && shared.file_name()? == ".git" {
        return shared.parent().map(Path::to_owned);
    }
    Some(tree.to_owned())
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn linked_working_trees_belong_to_the_main_one() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let at = |path: &str| dir.path().join(path);
        for folder in ["shop/.git/worktrees/fix", "shop/src/deep", "fix-it/src", "shop/lib/sub", "plain dir"]
        {
            std::fs::create_dir_all(at(folder))?;
        }
        std::fs::write(at("fix-it/.git"), format!("gitdir: {}\n", at("shop/.git/worktrees/fix").display()))?;
        std::fs::write(at("shop/lib/sub/.git"), "gitdir: ../../.git/modules/sub\n")?;
        for (started_in, project) in [
            ("shop", "shop"),
            ("shop/src/deep", "shop"),
            ("fix-it/src", "shop"),
            ("shop/lib/sub", "sub"),
            ("plain dir", "plain-dir"),
            ("not/there", "there"),
        ] {
            assert_eq!(name(&at(started_in)).as_deref(), Some(project), "{started_in}");
        }
        assert_eq!(name(std::path::Path::new("relative")), None);
        Ok(())
    }
}
