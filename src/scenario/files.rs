//! Finds scenario files.

use std::path::{Path, PathBuf};

use super::{Scenario, ScenarioError};
use crate::base::nearest;

/// Where scenarios are kept, relative to the current directory.
pub const SCENARIOS: &str = "scenarios";
/// The scenarios that run when nothing is asked for.
pub const SMOKE: &str = "scenarios/smoke";

/// Larger than any scenario.
const MAX_FILE: u64 = 1 << 20;

/// Why scenarios could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is nothing of this name.
    #[error("{path}: no such file or directory{hint}")]
    Missing {
        /// As it was asked for.
        path: String,
        /// What was probably meant.
        hint: String,
    },
    /// The directory has no `*.toml`, at any depth.
    #[error("{0}: no scenario (`*.toml`) in this directory")]
    NoScenario(String),
    /// It can't be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// No file of that size is a scenario.
    #[error("{path}: {bytes} bytes are too many for a scenario")]
    TooLarge {
        /// Which file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// Something is wrong inside.
    #[error(transparent)]
    Wrong(#[from] ScenarioError),
    /// Two scenarios would write one report.
    #[error("{first} and {second} have the same name `{name}`: reports go by it")]
    SameName {
        /// That name.
        name: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
}

impl Scenario {
    /// Reads a scenario from a path, or by its place under `scenarios/`: `faults/leader-power-loss`.
    pub fn load(path: &str) -> Result<Self, FileError> {
        let file = resolve(path)?;
        if file.is_dir() {
            return Err(FileError::Missing {
                path: path.to_owned(),
                hint: ": it is a directory, and one scenario was asked for".into(),
            });
        }
        read(&file)
    }
}

/// All scenarios of these files and directories, each once, in the order of their paths.
pub fn load_all(paths: &[String]) -> Result<Vec<Scenario>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        let found = resolve(path)?;
        if found.is_dir() {
            let before = files.len();
            collect(&found, &mut files, 0)?;
            if files.len() == before {
                return Err(FileError::NoScenario(path.clone()));
            }
        } else {
            files.push(found);
        }
    }
    files.sort();
    files.dedup();
    let scenarios: Vec<_> = files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    for (index, second) in scenarios.iter().enumerate() {
        if let Some(first) = scenarios.iter().take(index).find(|first| first.name == second.name) {
            return Err(FileError::SameName {
                name: first.name.clone(),
                first: first.file.clone(),
                second: second.file.clone(),
            });
        }
    }
    Ok(scenarios)
}

/// The file or directory that is meant.
fn resolve(path: &str) -> Result<PathBuf, FileError> {
    let plain = PathBuf::from(path);
    if plain.exists() {
        return Ok(plain);
    }
    let short = Path::new(SCENARIOS).join(path);
    let with_ending = Path::new(SCENARIOS).join(format!("{path}.toml"));
    if let Some(found) = [short, with_ending].into_iter().find(|candidate| candidate.exists()) {
        return Ok(found);
    }
    Err(FileError::Missing { path: path.to_owned(), hint: hint(&plain) })
}

/// The nearest name beside the one that is missing, or among all scenarios.
fn hint(path: &Path) -> String {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut files = Vec::new();
    for dir in [beside, Some(Path::new(SCENARIOS))].into_iter().flatten() {
        // A hint that can't be had is no error of its own.
        let _ = collect(dir, &mut files, 0);
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let wanted = path.display().to_string();
    let near =
        nearest(&wanted, names.iter().map(String::as_str)).map(str::to_owned).or_else(|| {
            let stem =
                |file: &Path| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let wanted = stem(path)?;
            let stems: Vec<_> = files.iter().filter_map(|file| stem(file)).collect();
            let near = nearest(&wanted, stems.iter().map(String::as_str))?;
            let at = files.iter().position(|file| stem(file).as_deref() == Some(near))?;
            names.get(at).cloned()
        });
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Deeper than scenarios are kept.
const MAX_DEPTH: usize = 8;

fn collect(dir: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<(), FileError> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let unreadable = |error| FileError::Unreadable { path: dir.display().to_string(), error };
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, files, depth + 1)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Scenario, FileError> {
    let path = file.display().to_string();
    let unreadable = |error| FileError::Unreadable { path: path.clone(), error };
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > MAX_FILE {
        return Err(FileError::TooLarge { path, bytes });
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    Ok(Scenario::parse(&path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &Path, name: &str, text: &str) -> String {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn good(name: &str) -> String {
        format!("name = \"{name}\"\n[expect]\nholds = [\"*\"]\n")
    }

    #[test]
    fn directory_yields_its_scenarios_sorted_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let b = file(dir.path(), "b.toml", &good("b"));
        file(dir.path(), "deep/a.toml", &good("a"));
        file(dir.path(), "readme.md", "not a scenario");
        let root = dir.path().display().to_string();
        let found = load_all(&[root, b]).unwrap();
        let names: Vec<_> = found.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn missing_empty_and_duplicate_scenarios_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display().to_string();
        let said = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
            load_all(&paths).unwrap_err().to_string()
        };
        assert!(said(&[&root]).contains("no scenario"));
        let kill = file(dir.path(), "leader-kill.toml", &good("x"));
        let wrong = kill.replace("leader-kill", "leader-kil");
        assert!(said(&[&wrong]).contains(&format!("did you mean `{kill}`?")));
        let empty = file(dir.path(), "empty.toml", "");
        assert!(said(&[&empty]).contains("the file is empty"));
        let other = file(dir.path(), "other.toml", &good("x"));
        assert!(said(&[&kill, &other]).contains("the same name `x`"));
        assert!(said(&["no/such/place"]).contains("no such file or directory"));
    }
}
