//! Gives the gateway the variables of spin.toml as environment variables.
//!
//! This is a component of its own because only Spin has such variables, and other runtimes run the gateway too. spin.toml
//! puts it between the gateway and the environment.
#![cfg(target_family = "wasm")]

wit_bindgen::generate!({
    inline: "
        package sac:variables;

        world variables {
            import wasi:config/store@0.2.0-draft-2024-09-27;
            import wasi:cli/environment@0.2.6;
            export wasi:cli/environment@0.2.6;
        }

        /// The part that is used here.
        package wasi:config@0.2.0-draft-2024-09-27 {
            interface store {
                variant error { upstream(string), io(string) }
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
        }

        package wasi:cli@0.2.6 {
            interface environment {
                get-environment: func() -> list<tuple<string, string>>;
                get-arguments: func() -> list<string>;
                initial-cwd: func() -> option<string>;
            }
        }
    ",
    generate_all,
});

use exports::wasi::cli::environment::Guest;
use wasi::cli::environment;
use wasi::config::store::get_all;

struct Variables;

export!(Variables);

impl Guest for Variables {
    /// Returns the environment, and each variable of the component under its name in capitals. The environment comes first,
    /// because it is what the command line sets. Blank values count as unset.
    fn get_environment() -> Vec<(String, String)> {
        let is_set = |(_, value): &(String, String)| !value.trim().is_empty();
        let mut environment = environment::get_environment();
        environment.retain(is_set);
        // Without them, a token would be missing, and everyone would be let in.
        let Ok(variables) = get_all() else { std::process::abort() };
        for (name, value) in variables.into_iter().filter(is_set) {
            let name = name.to_ascii_uppercase();
            if environment.iter().all(|(set, _)| *set != name) {
                environment.push((name, value));
            }
        }
        environment
    }

    fn get_arguments() -> Vec<String> {
        environment::get_arguments()
    }

    fn initial_cwd() -> Option<String> {
        environment::initial_cwd()
    }
}
