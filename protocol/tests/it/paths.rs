//! Where things stand (HOOK 3).

use std::path::{Path, PathBuf};

use bursar_protocol::paths::{self, MAX_SOCKET_PATH_BYTES, PathError, Paths};

fn from(vars: &[(&str, &str)]) -> Result<Paths, PathError> {
    Paths::from_env(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
}

const STATE: &str = if cfg!(target_os = "macos") {
    "/home/dev/Library/Application Support/bursar"
} else {
    "/home/dev/.local/state/bursar"
};

#[test]
fn each_place_is_the_first_that_is_set() {
    let home = ("HOME", "/home/dev");
    let in_state = |file: &str| format!("{STATE}/{file}");
    let (run, config) = (in_state("run/bursar.sock"), "/home/dev/.config/bursar/config.toml");
    for (vars, socket, state, config) in [
        (vec![home], run.as_str(), STATE, config),
        (vec![home, ("XDG_RUNTIME_DIR", "/run/user/7")], "/run/user/7/bursar/bursar.sock", STATE, config),
        (vec![home, ("XDG_STATE_HOME", "/st")], "/st/bursar/run/bursar.sock", "/st/bursar", config),
        (vec![home, ("XDG_CONFIG_HOME", "/c")], run.as_str(), STATE, "/c/bursar/config.toml"),
        (
            vec![home, ("BURSAR_HOME", "/b"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_STATE_HOME", "/st")],
            "/b/run/bursar.sock",
            "/b",
            "/b/config.toml",
        ),
        (
            vec![("BURSAR_HOME", "/b"), ("BURSAR_SOCKET", "/s.sock"), ("XDG_CONFIG_HOME", "/c")],
            "/s.sock",
            "/b",
            "/b/config.toml",
        ),
        (vec![home, ("BURSAR_HOME", ""), ("XDG_RUNTIME_DIR", "")], run.as_str(), STATE, config),
    ] {
        let wanted = Paths { socket: socket.into(), state: state.into(), config: config.into() };
        assert_eq!(from(&vars).unwrap(), wanted, "{vars:?}");
    }
}

#[test]
fn a_place_that_cannot_serve_is_refused_with_what_to_set() {
    assert_eq!(from(&[]), Err(PathError::NoHome));
    assert!(from(&[("BURSAR_HOME", "/b")]).is_ok());
    for name in
        ["BURSAR_SOCKET", "BURSAR_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"]
    {
        let error = from(
            &[("HOME", "/home/dev"), (name, "here")].map(|v| if v.0 == name { (name, "here") } else { v }),
        );
        assert!(error.unwrap_err().to_string().contains(name), "{name}");
    }
}

#[test]
fn a_socket_path_may_have_a_hundred_bytes() {
    let socket = |length: usize| format!("/{}", "s".repeat(length - 1));
    let of = |path: &str| from(&[("BURSAR_HOME", "/b"), ("BURSAR_SOCKET", path)]);
    assert!(of(&socket(MAX_SOCKET_PATH_BYTES)).is_ok());
    let error = of(&socket(MAX_SOCKET_PATH_BYTES + 1)).unwrap_err().to_string();
    assert!(error.contains("101 bytes") && error.contains("BURSAR_SOCKET"), "{error}");
}

#[test]
fn what_lies_in_the_state_folder_has_its_name() {
    let paths = from(&[("BURSAR_HOME", "/b")]).unwrap();
    let found = [paths.database(), paths.ready(), paths.paused(), paths.spool(), paths.hook_client()];
    let wanted = ["/b/bursar.db", "/b/ready", "/b/paused", "/b/spool", "/b/bin/bursar-hook"];
    assert_eq!(found, wanted.map(PathBuf::from));
    assert_eq!(paths::ready(Path::new("/b")), paths.ready());
    assert_eq!(paths::spool(Path::new("/b")), paths.spool());
}

#[test]
fn a_hook_without_arguments_looks_below_its_users_home() {
    let found = Paths::for_hook_without_arguments(Path::new("/home/dev"), u32::MAX);
    assert_eq!(found.state, Path::new(STATE));
    assert_eq!(found.socket, Path::new(STATE).join("run/bursar.sock"));
}
