//! The built pages in a browser: each renders without an error, the search finds, what moves works.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Host, Need};

const CHROMIUM: Need = Need::Program("chromium", "chromium");
const TIME: Need = Need::Time(Duration::from_secs(300));

fn main() -> std::process::ExitCode {
    // Outside of the fake hosts, where cargo's folder can be written to; as another user, what was built before is looked at.
    if std::env::var_os("TESTKIT_STAGE").is_none() {
        let _not_ours_to_write = book::build::build();
    }
    testkit::main(&[
        testkit::Test { name: "pages_render_without_an_error", needs: &[CHROMIUM, TIME], body: pages_render },
        testkit::Test { name: "the_search_finds_pivot_root", needs: &[CHROMIUM, TIME], body: the_search_finds },
        testkit::Test {
            name: "text_stands_out_and_fits_on_a_telephone",
            needs: &[CHROMIUM, TIME],
            body: text_stands_out,
        },
        testkit::Test { name: "a_cast_plays", needs: &[CHROMIUM, TIME], body: a_cast_plays },
        testkit::Test { name: "the_slider_and_the_exercise_work", needs: &[CHROMIUM, TIME], body: what_moves_works },
    ])
}

fn pages() -> PathBuf {
    book::folder().join("book")
}

/// The page as it is after its scripts have run, and what the browser said about it.
fn open(host: &Host, address: &str) -> (String, String) {
    let mut browser = host.command("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]);
    browser.args([
        "--no-first-run",
        "--disable-background-networking",
        "--disable-breakpad",
        "--no-zygote",
        "--allow-file-access-from-files",
        // What a person's browser does beside showing pages.
        "--disable-component-update",
        "--disable-features=OptimizationGuideOnDeviceModel,OptimizationHints,AIPromptAPI",
    ]);
    browser.arg("--virtual-time-budget=4000").arg("--dump-dom").arg(address);
    browser.arg(format!("--user-data-dir={}", host.folder("profile").display()));
    let output = host.run(&mut browser);
    // The browser itself has pages, too.
    let of_ours = |line: &&str| line.contains(":CONSOLE") && !line.contains("source: chrome:");
    let errors = output.stderr.lines().filter(of_ours);
    (output.stdout, errors.collect::<Vec<_>>().join("\n"))
}

fn file(name: &str) -> String {
    format!("file://{}", pages().join(name).display())
}

/// All pages in frames of one: a start of the browser costs more than a page.
fn frames(book: &[book::pages::Page]) -> String {
    let frames: String = book.iter().map(|page| format!("<iframe src=\"{}.html\"></iframe>", page.name)).collect();
    format!("<html><body>{frames}</body></html>")
}

fn pages_render(host: &Host) {
    let book = book::pages::pages().unwrap();
    let look = "for (const frame of document.querySelectorAll('iframe')) { const inside = frame.contentDocument; \
                say(frame.getAttribute('src') + ' ' + (inside.querySelector('main') !== null) + ' ' + \
                inside.querySelectorAll('svg.picture').length); }";
    let said = with_script(host, "all.html", &frames(&book), look);
    const PICTURES: [&str; 4] = ["../pictures/", "{{#bars ", "{{#startup}}", "{{#waterfall}}"];
    let drawn = |page: &book::pages::Page| PICTURES.iter().map(|made| page.text.matches(made).count()).sum::<usize>();
    let expected: Vec<String> = book.iter().map(|page| format!("{}.html true {}", page.name, drawn(page))).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

fn the_search_finds(host: &Host) {
    let (text, errors) = open(host, &file("index.html?search=pivot_root"));
    assert_eq!(errors, "");
    assert!(text.contains("step3.html?highlight=pivot_root"), "no result leads to step 3");
}

/// In every theme, and at 360 pixels.
fn text_stands_out(host: &Host) {
    let book = book::pages::pages().unwrap();
    let said = with_script(host, "all.html", &frames(&book), include_str!("contrast.js"));
    assert_eq!(said, format!("{} pages looked at", book.len()));
}

/// By its buttons and its slider; nobody has to wait for the end.
fn a_cast_plays(host: &Host) {
    let text = std::fs::read_to_string(pages().join("introduction.html")).unwrap();
    let moved = with_script(
        host,
        "introduction.html",
        &text,
        "const cast = document.querySelector('.cast'), screen = cast.querySelector('pre'), whole = screen.textContent;
         const [play, next] = cast.querySelectorAll('button'), slider = cast.querySelector('input');
         say('at first ' + whole.includes('made-inside: No such file'));
         next.click();
         say('one answered ' + (screen.textContent.endsWith('/ # ') && !screen.textContent.includes('hostname')));
         next.click();
         say('two answered ' + screen.textContent.includes('/ # hostname') + ', ' + slider.getAttribute('aria-valuetext'));
         slider.value = 0;
         slider.dispatchEvent(new Event('input'));
         say('nothing yet ' + (screen.textContent.length < 3));
         play.click();
         say(play.textContent);
         setTimeout(() => {
           say('typing ' + screen.textContent.startsWith('$ tara'));
           slider.value = slider.max - 300;
           slider.dispatchEvent(new Event('input'));
           play.click();
         }, 1600);
         setTimeout(() => say('at last ' + (screen.textContent === whole) + ' ' + play.textContent), 2600);",
    );
    let said = [
        "at first true",
        "one answered true",
        "two answered true, command 3 of 8",
        "nothing yet true",
        "❚❚ pause",
        "typing true",
        "at last true ▶ play",
    ];
    assert_eq!(moved.lines().collect::<Vec<_>>(), said);
}

/// A page of ours that loads the book's, moves what can be moved as a reader with a keyboard does, and writes down what came of it.
fn what_moves_works(host: &Host) {
    let text = |page| std::fs::read_to_string(pages().join(page)).unwrap();
    let moved = with_script(
        host,
        "what.html",
        &text("what.html"),
        "const slider = document.querySelector('.sees input'); slider.focus(); slider.value = 4;
         slider.dispatchEvent(new Event('input'));
         say('step ' + document.querySelector('.sees output').textContent);
         say('cell ' + [...document.querySelectorAll('.sees tbody tr')[4].cells].find((c, n) => n > 0 && !c.hidden).textContent);",
    );
    assert!(moved.contains("step 4: network") && moved.contains("cell eth0 on a bridge"), "{moved}");
    let ordered = with_script(
        host,
        "step1.html",
        &text("step1.html"),
        "const list = document.querySelector('.order ol');
         for (const place of [4, 3, 2, 1]) {
           const item = [...list.children].find((item) => item.dataset.place == place);
           while (item.previousElementSibling) item.querySelector('button').click();
         }
         [...document.querySelectorAll('.order > button')].pop().click();
         say(document.querySelector('.order [role=status]').textContent);",
    );
    assert!(ordered.contains("4 of 4 in their place"), "{ordered}");
}

/// What `script` says in the page `name` with this text, beside the book's pages.
fn with_script(host: &Host, name: &str, text: &str, script: &str) -> String {
    let say = "const say = (text) => { const p = document.createElement('pre'); p.className = 'said'; p.textContent = text; \
               document.body.append(p); };";
    let own = format!("<script>addEventListener('load', () => {{ {say} {script} }});</script></body>");
    let copy = host.folder("copy");
    link_all(&pages(), &copy);
    let _the_books_own = std::fs::remove_file(copy.join(name));
    std::fs::write(copy.join(name), text.replace("</body>", &own)).unwrap();
    let (text, errors) = open(host, &format!("file://{}", copy.join(name).display()));
    assert_eq!(errors, "", "{name}");
    text.split("<pre class=\"said\">")
        .skip(1)
        .filter_map(|piece| piece.split("</pre>").next())
        .collect::<Vec<_>>()
        .join("\n")
}

fn link_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let _already_there = std::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()));
    }
}
