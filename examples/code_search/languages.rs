//! Which language a file is in, and what that language calls its functions and classes.
//!
//! Every file has a language name, which becomes a field of its passages; the eight languages with a
//! grammar also have a table of node kinds. Names are those that people type after `--language`.

use std::{path::Path, sync::OnceLock};

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language {
    /// As stored and shown, lower-case.
    pub(crate) name: &'static str,
    grammar: Option<Parsed>,
}

/// What a node is to the cutter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Looked through for definitions.
    Other,
    /// A function: one passage.
    Function,
    /// A class, `impl`, module: its name goes to what lies inside.
    Container,
    /// A type without functions of its own: one passage.
    Type,
    /// A declaration that is a function when its value is one: `const f = () => ...`.
    Assignment,
    /// A comment, attribute or decorator: belongs to the definition that follows directly.
    Lead,
    /// Starts the passage of the one definition inside it: `export`, `template <...>`.
    Wrapper,
}

/// A grammar with the roles of its node kinds.
pub(crate) struct Grammar {
    pub(crate) parser: tree_sitter::Language,
    /// Between the name of a container and what it holds.
    pub(crate) separator: &'static str,
    roles: Vec<Role>,
}

impl Language {
    /// By file name and, where that does not settle it, by the text.
    pub(crate) fn of(path: &Path, text: &str) -> Language {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let lower = name.to_ascii_lowercase();
        if let Some((_, language)) = FILE_NAMES.iter().find(|(known, _)| *known == lower) {
            return Language::plain(language);
        }
        let extension = lower
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension);
        if extension == "h" && looks_like_cpp(text) {
            return Language::parsed(Parsed::Cpp);
        }
        if let Some((_, grammar)) = PARSED.iter().find(|(known, _)| known.contains(&extension)) {
            return Language::parsed(*grammar);
        }
        if let Some((_, language)) = PLAIN.iter().find(|(known, _)| known.contains(&extension)) {
            return Language::plain(language);
        }
        match text.lines().next().filter(|line| line.starts_with("#!")) {
            Some(line) if line.contains("python") => Language::parsed(Parsed::Python),
            Some(line) if line.contains("node") => Language::parsed(Parsed::JavaScript),
            Some(line) if line.contains("sh") => Language::plain("shell"),
            _ => Language::plain("text"),
        }
    }

    /// The name under which passages are stored for what somebody typed: `py` is `python`, `C++`
    /// is `cpp`. What is not known stays as typed, in lower case.
    pub(crate) fn canonical(typed: &str) -> String {
        let typed = typed.trim().trim_start_matches('.').to_ascii_lowercase();
        let known = |extensions: &&[&str]| extensions.contains(&typed.as_str());
        if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == typed) {
            (*name).to_owned()
        } else if let Some((_, grammar)) = PARSED.iter().find(|(extensions, _)| known(extensions)) {
            grammar.name().to_owned()
        } else if let Some((_, name)) = PLAIN.iter().find(|(extensions, _)| known(extensions)) {
            (*name).to_owned()
        } else {
            typed
        }
    }

    pub(crate) fn grammar(self) -> Option<&'static Grammar> {
        self.grammar.map(Parsed::grammar)
    }

    fn plain(name: &'static str) -> Language {
        Language {
            name,
            grammar: None,
        }
    }

    fn parsed(grammar: Parsed) -> Language {
        Language {
            name: grammar.name(),
            grammar: Some(grammar),
        }
    }
}

impl Grammar {
    pub(crate) fn role(&self, node: tree_sitter::Node<'_>) -> Role {
        let kind = usize::from(node.kind_id());
        self.roles.get(kind).copied().unwrap_or(Role::Other)
    }

    fn new(parser: tree_sitter::Language, kinds: &Kinds) -> Grammar {
        let roles = (0..parser.node_kind_count())
            .map(|id| {
                let id = u16::try_from(id).unwrap_or(u16::MAX);
                let kind = parser.node_kind_for_id(id).unwrap_or("");
                if parser.node_kind_is_named(id) {
                    kinds.role(kind)
                } else {
                    Role::Other
                }
            })
            .collect();
        Grammar {
            parser,
            separator: kinds.separator,
            roles,
        }
    }
}

/// A header may be C or C++; both grammars cope with the common part, so a wrong guess costs names.
fn looks_like_cpp(text: &str) -> bool {
    text.lines().take(2000).any(|line| {
        let line = line.trim_start();
        [
            "namespace ",
            "class ",
            "template",
            "public:",
            "private:",
            "using ",
        ]
        .iter()
        .any(|start| line.starts_with(start))
            || line.contains("std::")
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parsed {
    Rust,
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Go,
    Java,
    C,
    Cpp,
}

impl Parsed {
    fn name(self) -> &'static str {
        match self {
            Parsed::Rust => "rust",
            Parsed::Python => "python",
            Parsed::JavaScript => "javascript",
            Parsed::TypeScript | Parsed::Tsx => "typescript",
            Parsed::Go => "go",
            Parsed::Java => "java",
            Parsed::C => "c",
            Parsed::Cpp => "cpp",
        }
    }

    fn grammar(self) -> &'static Grammar {
        static GRAMMARS: [OnceLock<Grammar>; 9] = [const { OnceLock::new() }; 9];
        let (slot, language, kinds) = match self {
            Parsed::Rust => (0, tree_sitter_rust::LANGUAGE, &RUST),
            Parsed::Python => (1, tree_sitter_python::LANGUAGE, &PYTHON),
            Parsed::JavaScript => (2, tree_sitter_javascript::LANGUAGE, &SCRIPT),
            Parsed::TypeScript => (3, tree_sitter_typescript::LANGUAGE_TYPESCRIPT, &SCRIPT),
            Parsed::Tsx => (4, tree_sitter_typescript::LANGUAGE_TSX, &SCRIPT),
            Parsed::Go => (5, tree_sitter_go::LANGUAGE, &GO),
            Parsed::Java => (6, tree_sitter_java::LANGUAGE, &JAVA),
            Parsed::C => (7, tree_sitter_c::LANGUAGE, &C),
            Parsed::Cpp => (8, tree_sitter_cpp::LANGUAGE, &CPP),
        };
        GRAMMARS[slot].get_or_init(|| Grammar::new(language.into(), kinds))
    }
}

/// Node kinds of a grammar by role.
struct Kinds {
    separator: &'static str,
    functions: &'static [&'static str],
    containers: &'static [&'static str],
    types: &'static [&'static str],
    assignments: &'static [&'static str],
    leads: &'static [&'static str],
    wrappers: &'static [&'static str],
}

impl Kinds {
    fn role(&self, kind: &str) -> Role {
        let table = [
            (self.functions, Role::Function),
            (self.containers, Role::Container),
            (self.types, Role::Type),
            (self.assignments, Role::Assignment),
            (self.leads, Role::Lead),
            (self.wrappers, Role::Wrapper),
        ];
        table
            .into_iter()
            .find(|(kinds, _)| kinds.contains(&kind))
            .map_or(Role::Other, |(_, role)| role)
    }
}

const RUST: Kinds = Kinds {
    separator: "::",
    functions: &[
        "function_item",
        "function_signature_item",
        "macro_definition",
    ],
    containers: &["impl_item", "trait_item", "mod_item"],
    types: &["struct_item", "enum_item", "union_item", "type_item"],
    assignments: &[],
    leads: &["line_comment", "block_comment", "attribute_item"],
    wrappers: &[],
};

const PYTHON: Kinds = Kinds {
    separator: ".",
    functions: &["function_definition"],
    containers: &["class_definition"],
    types: &[],
    assignments: &[],
    leads: &["comment", "decorator"],
    wrappers: &["decorated_definition"],
};

/// JavaScript, TypeScript and TSX share their names for what they share.
const SCRIPT: Kinds = Kinds {
    separator: ".",
    functions: &[
        "function_declaration",
        "generator_function_declaration",
        "method_definition",
        "function_signature",
    ],
    containers: &[
        "class_declaration",
        "abstract_class_declaration",
        "class",
        "internal_module",
        "module",
    ],
    types: &[
        "interface_declaration",
        "enum_declaration",
        "type_alias_declaration",
    ],
    assignments: &[
        "variable_declarator",
        "assignment_expression",
        "pair",
        "field_definition",
        "public_field_definition",
    ],
    leads: &["comment", "decorator"],
    wrappers: &[
        "export_statement",
        "lexical_declaration",
        "variable_declaration",
        "ambient_declaration",
    ],
};

const GO: Kinds = Kinds {
    separator: ".",
    functions: &["function_declaration", "method_declaration"],
    containers: &[],
    types: &["type_spec", "type_alias"],
    assignments: &[],
    leads: &["comment"],
    wrappers: &["type_declaration"],
};

const JAVA: Kinds = Kinds {
    separator: ".",
    functions: &[
        "method_declaration",
        "constructor_declaration",
        "compact_constructor_declaration",
    ],
    containers: &[
        "class_declaration",
        "interface_declaration",
        "enum_declaration",
        "record_declaration",
        "annotation_type_declaration",
    ],
    types: &[],
    assignments: &[],
    leads: &["line_comment", "block_comment"],
    wrappers: &[],
};

const C: Kinds = Kinds {
    separator: "::",
    functions: &["function_definition", "preproc_function_def"],
    containers: &[],
    types: &[
        "struct_specifier",
        "union_specifier",
        "enum_specifier",
        "type_definition",
    ],
    assignments: &[],
    leads: &["comment"],
    wrappers: &[],
};

const CPP: Kinds = Kinds {
    separator: "::",
    functions: &["function_definition", "preproc_function_def"],
    containers: &[
        "class_specifier",
        "struct_specifier",
        "union_specifier",
        "namespace_definition",
    ],
    types: &[
        "enum_specifier",
        "type_definition",
        "alias_declaration",
        "concept_definition",
    ],
    assignments: &[],
    leads: &["comment"],
    wrappers: &["template_declaration"],
};

const PARSED: &[(&[&str], Parsed)] = &[
    (&["rs"], Parsed::Rust),
    (&["py", "pyi", "pyw"], Parsed::Python),
    (&["js", "mjs", "cjs", "jsx"], Parsed::JavaScript),
    (&["ts", "mts", "cts"], Parsed::TypeScript),
    (&["tsx"], Parsed::Tsx),
    (&["go"], Parsed::Go),
    (&["java"], Parsed::Java),
    (&["c", "h"], Parsed::C),
    (
        &[
            "cc", "cpp", "cxx", "c++", "hpp", "hh", "hxx", "inl", "ipp", "cu", "cuh",
        ],
        Parsed::Cpp,
    ),
];

const PLAIN: &[(&[&str], &str)] = &[
    (&["md", "markdown", "mdx"], "markdown"),
    (&["rst"], "restructuredtext"),
    (&["toml"], "toml"),
    (&["json", "jsonl", "json5", "jsonc"], "json"),
    (&["yaml", "yml"], "yaml"),
    (&["sh", "bash", "zsh", "fish"], "shell"),
    (&["ps1", "psm1"], "powershell"),
    (&["rb"], "ruby"),
    (&["php"], "php"),
    (&["kt", "kts"], "kotlin"),
    (&["swift"], "swift"),
    (&["cs"], "csharp"),
    (&["scala", "sc"], "scala"),
    (&["lua"], "lua"),
    (&["pl", "pm"], "perl"),
    (&["r"], "r"),
    (&["jl"], "julia"),
    (&["hs"], "haskell"),
    (&["ml", "mli"], "ocaml"),
    (&["ex", "exs"], "elixir"),
    (&["erl"], "erlang"),
    (&["clj", "cljs"], "clojure"),
    (&["dart"], "dart"),
    (&["zig"], "zig"),
    (&["m", "mm"], "objective-c"),
    (&["s", "asm"], "assembly"),
    (&["sql"], "sql"),
    (&["proto"], "protobuf"),
    (&["graphql", "gql"], "graphql"),
    (&["html", "htm", "xhtml"], "html"),
    (&["css", "scss", "sass", "less"], "css"),
    (&["vue"], "vue"),
    (&["svelte"], "svelte"),
    (&["xml", "xsl", "svg"], "xml"),
    (&["cmake"], "cmake"),
    (&["mk", "mak"], "make"),
    (&["tf", "hcl"], "hcl"),
    (&["nix"], "nix"),
    (&["txt", "text"], "text"),
];

const FILE_NAMES: &[(&str, &str)] = &[
    ("makefile", "make"),
    ("gnumakefile", "make"),
    ("dockerfile", "dockerfile"),
    ("cmakelists.txt", "cmake"),
];

const ALIASES: &[(&str, &str)] = &[
    ("node", "javascript"),
    ("golang", "go"),
    ("objc", "objective-c"),
    ("c#", "csharp"),
    ("makefile", "make"),
    ("protobuf", "protobuf"),
    ("sh", "shell"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_tables_exists_in_some_grammar_of_its_family() {
        let families: [(&Kinds, &[Parsed]); 7] = [
            (&RUST, &[Parsed::Rust]),
            (&PYTHON, &[Parsed::Python]),
            (
                &SCRIPT,
                &[Parsed::JavaScript, Parsed::TypeScript, Parsed::Tsx],
            ),
            (&GO, &[Parsed::Go]),
            (&JAVA, &[Parsed::Java]),
            (&C, &[Parsed::C]),
            (&CPP, &[Parsed::Cpp]),
        ];
        for (kinds, members) in families {
            let lists = [
                kinds.functions,
                kinds.containers,
                kinds.types,
                kinds.assignments,
                kinds.leads,
                kinds.wrappers,
            ];
            for kind in lists.into_iter().flatten() {
                let known = members
                    .iter()
                    .any(|member| member.grammar().parser.id_for_node_kind(kind, true) != 0);
                assert!(known, "{kind} is in none of {members:?}");
            }
        }
    }

    #[test]
    fn a_language_is_found_by_name_extension_content_and_alias() {
        let of = |path: &str, text: &str| Language::of(Path::new(path), text).name;
        assert_eq!(of("src/lib.RS", ""), "rust");
        assert_eq!(of("Makefile", "all:\n"), "make");
        assert_eq!(of("a.h", "int f(void);\n"), "c");
        assert_eq!(of("a.h", "namespace a {\n}\n"), "cpp");
        assert_eq!(of("bin/run", "#!/usr/bin/env python3\n"), "python");
        assert_eq!(of("LICENSE", "words\n"), "text");
        assert_eq!(Language::canonical("C++"), "cpp");
        assert_eq!(Language::canonical("py"), "python");
        assert_eq!(Language::canonical(".ts"), "typescript");
        assert_eq!(Language::canonical("Rust"), "rust");
    }
}
