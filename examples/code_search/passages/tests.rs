use std::path::Path;

use super::*;

fn cut(path: &str, text: &str) -> Vec<Passage> {
    let lines = Lines::new(text);
    let language = Language::of(Path::new(path), text);
    let passages = Cutter::new().cut(&lines, text, language);
    for line in 0..lines.count() {
        let covered = passages.iter().any(|passage| passage.lines.contains(&line));
        assert!(
            covered || !lines.has_words(line),
            "{path}: line {} is in no passage",
            line + 1
        );
    }
    for passage in &passages {
        let fits = lines.fits(&passage.lines, PASSAGE);
        assert!(
            fits || passage.lines.len() == 1,
            "{path}: {passage:?} is too large"
        );
    }
    passages
}

/// `first-last name` of each passage.
fn outline(path: &str, text: &str) -> Vec<String> {
    let show = |passage: Passage| {
        let place = format!("{}-{}", passage.lines.start + 1, passage.lines.end);
        format!("{place} {}", passage.name).trim_end().to_owned()
    };
    cut(path, text).into_iter().map(show).collect()
}

fn body(lines: usize) -> String {
    (0..lines).map(|i| format!("    work({i});\n")).collect()
}

#[test]
fn rust_functions_keep_their_comments_and_attributes() {
    let text = format!(
        "use std::fs;\nuse std::io;\nuse a::b;\nuse c::d;\nuse e::f;\n\n\
         /// Opens it.\n#[must_use]\npub fn open() {{\n{b}}}\n\n\
         impl<T> Display for Shelf<T> {{\n    // Why.\n    fn fmt(&self) {{\n{b}    }}\n\n    fn next(&mut self) {{\n{b}    }}\n}}\n",
        b = body(5)
    );
    assert_eq!(
        outline("a.rs", &text),
        ["1-5", "7-15 open", "17-25 Shelf::fmt", "27-33 Shelf::next"]
    );
}

#[test]
fn python_classes_decorators_and_docstrings() {
    let text = format!(
        "import os\n\n@cache\n# Kept.\n@route(\n    '/')\ndef view(x):\n    \"\"\"Shows.\"\"\"\n{b}\n\
         class Shop(Base):\n    \"\"\"Sells.\n\n    Long words.\n    \"\"\"\n    size = 3\n\n    def sell(self):\n{m}\n    async def buy(self):\n{m}",
        b = body(4),
        m = body(4).replace("    ", "        "),
    );
    assert_eq!(
        outline("a.py", &text),
        [
            "1-12 view",
            "14-19 Shop",
            "21-25 Shop.sell",
            "27-31 Shop.buy"
        ]
    );
}

#[test]
fn javascript_functions_in_all_their_dresses() {
    let b = body(4);
    let text = format!(
        "// A.\nexport default function a() {{\n{b}}}\n\nexport const b = async (x) => {{\n{b}}};\n\n\
         class C extends D {{\n  m() {{\n{b}  }}\n\n  #p = () => {{\n{b}  }};\n}}\n\nC.prototype.q = function () {{\n{b}}};\n\n\
         const o = {{\n  r: function () {{\n{b}  }},\n}};\n"
    );
    assert_eq!(
        outline("a.jsx", &text),
        [
            "1-7 a",
            "9-14 b",
            "16-22 C.m",
            "24-29 C.#p",
            "32-37 C.prototype.q",
            "39-45 r"
        ]
    );
}

#[test]
fn typescript_types_and_abstract_classes() {
    let b = body(4);
    let text = format!(
        "export interface Shape {{\n  area(): number;\n  name: string;\n  size: number;\n  more: string;\n}}\n\n\
         export abstract class Base<T> {{\n  @log()\n  protected run<U>(x: U): void {{\n{b}  }}\n}}\n\n\
         namespace Inner {{\n  export function f(): void {{\n{b}  }}\n}}\n"
    );
    let expected = ["1-6 Shape", "8-15 Base.run", "18-24 Inner.f"];
    assert_eq!(outline("a.ts", &text), expected);
    assert_eq!(outline("a.tsx", &text), expected);
}

#[test]
fn go_methods_are_named_after_their_receiver() {
    let b = body(4);
    let text = format!(
        "package shop\n\n// Sell sells.\nfunc (s *Shop[T]) Sell(x int) error {{\n{b}}}\n\n\
         // Shop is one.\ntype Shop[T any] struct {{\n\ta int\n\tb int\n\tc int\n}}\n\nfunc main() {{\n{b}}}\n"
    );
    assert_eq!(
        outline("a.go", &text),
        ["1-9 Shop.Sell", "11-16 Shop", "18-23 main"]
    );
}

#[test]
fn java_members_of_nested_classes() {
    let b = body(4);
    let text = format!(
        "package a;\n\nimport b.C;\n\n/** Shop. */\npublic class Shop<T> {{\n    private int a;\n    private int b;\n    private int c;\n\n\
         \x20   /**\n     * Sells.\n     */\n    @Override\n    public void sell(int x) {{\n{b}    }}\n\n\
         \x20   static class Inner {{\n        Inner() {{\n{b}        }}\n    }}\n}}\n"
    );
    assert_eq!(
        outline("A.java", &text),
        [
            "1-3",
            "5-9 Shop",
            "11-20 Shop.sell",
            "22-28 Shop.Inner.Inner"
        ]
    );
}

#[test]
fn c_names_hide_behind_pointers() {
    let b = body(4);
    let text = format!(
        "#include <stdio.h>\n\nstruct point {{\n  int x;\n  int y;\n  int z;\n}};\n\n/* Finds it. */\nstatic struct point *\nfind(struct point *p)\n{{\n{b}}}\n\n\
         char *(*pick(void))(int) {{\n{b}}}\n"
    );
    assert_eq!(
        outline("a.c", &text),
        ["1-7 point", "9-17 find", "19-24 pick"]
    );
}

#[test]
fn cpp_templates_namespaces_and_operators() {
    let b = body(4);
    let text = format!(
        "namespace shop {{\n\ntemplate <typename T>\nT largest(T a, T b) {{\n{b}}}\n\n\
         class Till {{\n public:\n  Till& operator=(const Till& o) {{\n{b}  }}\n\n  ~Till() {{\n{b}  }}\n  int count_;\n}};\n\n\
         void ring(int x) {{\n{b}}}\n\n}}  // namespace shop\n"
    );
    assert_eq!(
        outline("a.cpp", &text),
        [
            "1-9 shop::largest",
            "11-18 shop::Till::operator=",
            "20-26 shop::Till::~Till",
            "29-36 shop::ring",
        ]
    );
}

#[test]
fn long_functions_become_overlapping_windows_of_the_same_name() {
    let text = format!(
        "fn long() {{\n{}}}\n\nfn short() {{\n{}}}\n",
        body(200),
        body(6)
    );
    assert_eq!(
        outline("a.rs", &text),
        ["1-80 long", "73-152 long", "145-202 long", "204-211 short"]
    );
}

#[test]
fn definitions_inside_a_long_function_are_told_apart() {
    let text = format!(
        "(function () {{\n  'use strict';\n{b}\n  function inner() {{\n{s}  }}\n\n  function tiny() {{}}\n{b}}})();\n",
        b = body(60),
        s = body(8)
    );
    let names: Vec<String> = cut("a.js", &text).into_iter().map(|p| p.name).collect();
    assert!(names.contains(&"inner".to_owned()), "{names:?}");
}

#[test]
fn tiny_neighbors_share_a_passage_and_the_name_says_so() {
    let text = "fn a() {}\nfn b() {}\nfn c() {}\nfn d() {}\nstruct E;\n";
    assert_eq!(outline("a.rs", text), ["1-5 a, b, c, …"]);
    let many: String = (0..100).map(|i| format!("fn f{i}() {{}}\n")).collect();
    assert_eq!(cut("a.rs", &many).len(), 4);
}

#[test]
fn unknown_languages_are_cut_into_windows() {
    let text: String = (0..120).map(|i| format!("line {i}\n")).collect();
    assert_eq!(outline("a.xyz", &text), ["1-50", "45-94", "89-120"]);
}

#[test]
fn empty_files_and_files_without_words_give_nothing() {
    for path in ["a.rs", "a.py", "a.txt", "a.cpp"] {
        for text in ["", "\n", "\n\n}\n{\n", " \t \n", "\u{feff}"] {
            assert_eq!(cut(path, text), [], "{path} {text:?}");
        }
    }
}

const EXTENSIONS: [&str; 9] = ["rs", "py", "js", "ts", "tsx", "go", "java", "c", "cpp"];

#[test]
fn syntax_errors_lose_nothing() {
    let broken = [
        "fn f( {\n  class }}} def\n",
        "def f(:\n    x = (\n\nclass\n\ndef g():\n  return 1\n",
        "int main( { if (x { return \"unclosed; }\n#if FOO\n",
        "\u{0}\u{1}\u{7f} word \u{fffd}\n",
        "/* never closed\nword\n",
        "'''never closed\nword\n",
    ];
    for text in broken {
        for extension in EXTENSIONS {
            cut(&format!("a.{extension}"), text);
        }
    }
}

#[test]
fn absurd_nesting_is_cut_without_recursion_and_in_time() {
    let openings = [
        "(",
        "[",
        "{",
        "{\n",
        "<",
        "if (a) {\n",
        "class A {\n",
        "mod a {\n",
        "fn f() {\n",
        "function f() {\n",
        "namespace a {\n",
        "struct a {\n",
        "x = (\n",
        "*",
        "&",
        "-",
        "a.",
        "/*",
    ];
    // A stack as small as that of any thread the program starts.
    let deep = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || {
            for opening in openings {
                // What parses at all does so in linear time; the rest is given up sooner or later.
                let depth = if opening.len() == 1 && "([{".contains(opening) {
                    50_000
                } else {
                    1_500
                };
                let text = format!("word\n{}\nword\n", opening.repeat(depth));
                for extension in EXTENSIONS {
                    cut(&format!("a.{extension}"), &text);
                }
            }
            let mut indented = String::new();
            for depth in 0..700 {
                indented.push_str(&format!("{}if a:\n", " ".repeat(depth)));
            }
            cut("a.py", &indented);
        });
    deep.unwrap().join().unwrap();
}
