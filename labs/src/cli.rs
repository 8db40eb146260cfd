//! The commands.

use crate::catalogue::{Check, LABS, Lab, Task};
use crate::check::{self, Outcome, Place, first_failure};
use crate::kit::{DoesNotCompile, Kit};
use crate::progress::Progress;
use crate::report::{self, Ink};
use crate::workspace::Workspace;
use crate::{attack, doctor, grade, holes, meta_check, starter, tidy, watch};
use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The steps of the workshop as exercises.
#[derive(Parser)]
#[command(name = "cargo lab", version, max_term_width = 100)]
struct Cli {
    /// The folder of your crates and your progress [default: my-labs in the workshop].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The labs, and what you have done of each.
    #[command(visible_alias = "progress")]
    List,
    /// What works here, what does not, why, and what to do.
    Doctor,
    /// Begin a lab: its crate with holes is put into your folder.
    Start(Number),
    /// Build your crate and look whether it does what it should.
    Check(CheckArgs),
    /// Look again on each save; shows the first check that fails.
    Watch(WatchArgs),
    /// One more hint for the task that fails first.
    Hint(HintArgs),
    /// Your crate against the solution.
    Diff(Number),
    /// The solution of one task, or of the lab, on standard output.
    Solution(TaskArgs),
    /// Put the solution of one task, or of the lab, into your crate.
    CatchUp(TaskArgs),
    /// Throw your crate away and begin again; the old one is kept beside it.
    Reset(Number),
    /// What the step before cannot stop and this one can; and what still works.
    Attack(AttackArgs),
    /// A prompt inside the lab machine: root, with a kernel of its own; `exit` switches it off.
    Shell,
    /// The lab machine.
    #[command(subcommand)]
    Machine(MachineCommand),
    /// Remove what was built for the labs and what killed checks have left; your crates stay.
    Cleanup,
    /// Grade submissions: directories or tarballs, each in a cell of its own.
    Grade(GradeArgs),
    /// Inside a cell: reads what to grade from standard input.
    #[command(hide = true)]
    Cell {
        /// `outer`, `inner`, `grade` or `exec`.
        stage: String,
        /// A program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<std::ffi::OsString>,
    },
    /// Walk the student's way for every lab: starters, solutions, wrong solutions.
    MetaCheck(MetaArgs),
}

#[derive(Args)]
struct Number {
    /// Which lab, 1 to 8 [default: the one you began last].
    lab: Option<u8>,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    number: Number,
    /// Only this task.
    #[arg(long)]
    task: Option<u8>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    place: Place,
}

#[derive(Args)]
struct WatchArgs {
    #[command(flatten)]
    number: Number,
    /// Look at the files' times instead of asking the kernel.
    #[arg(long)]
    poll: bool,
    /// Look when Enter is pressed.
    #[arg(long)]
    manual: bool,
}

#[derive(Subcommand)]
enum MachineCommand {
    /// Install and build all that is needed later without a network.
    Prepare,
}

#[derive(Args)]
struct HintArgs {
    #[command(flatten)]
    number: Number,
    /// For this task.
    #[arg(long)]
    task: Option<u8>,
}

#[derive(Args)]
struct TaskArgs {
    #[command(flatten)]
    number: Number,
    /// Only this task.
    #[arg(long)]
    task: Option<u8>,
}

#[derive(Args)]
struct AttackArgs {
    #[command(flatten)]
    number: Number,
    /// All cards against these instead: tara, crun, runc.
    #[arg(long, value_delimiter = ',')]
    against: Vec<String>,
}

#[derive(Args)]
struct GradeArgs {
    /// The folder with a directory or tarball for each student.
    submissions: PathBuf,
    /// Which lab.
    #[arg(long)]
    lab: u8,
    /// The class: a CSV file whose first column is the name of a submission; who handed nothing in is in the grid.
    #[arg(long)]
    roster: Option<PathBuf>,
    /// Where results are kept, so that a second run goes on [default: SUBMISSIONS.graded].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Grade these again, whatever is known of them.
    #[arg(long, value_name = "NAME")]
    again: Vec<String>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    place: Place,
    /// Seconds for one submission.
    #[arg(long, default_value_t = 180)]
    time_limit: u64,
    /// How many at once [default: one a processor].
    #[arg(long)]
    jobs: Option<usize>,
    /// Write a table for spreadsheets.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with the grid of students and checks.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit's XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write GitHub Classroom's results, a file for each student, into this folder.
    #[arg(long, value_name = "DIR")]
    github: Option<PathBuf>,
}

#[derive(Args)]
struct MetaArgs {
    /// Only these labs.
    labs: Vec<u8>,
    /// Only what has this in its name (`starter`, `wrong: no-chdir`).
    #[arg(long)]
    only: Option<String>,
    /// Where to run the checks.
    #[arg(long = "where", value_enum, default_value_t)]
    place: Place,
}

/// `cargo lab check | head`: what nobody reads is no error of the labs. As a shell shows an end by SIGPIPE.
fn end_quietly_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.payload().downcast_ref::<String>();
        if words.is_some_and(|words| words.starts_with("failed printing to stdout")) {
            std::process::exit(128 + nix::libc::SIGPIPE);
        }
        usual(panic);
    }));
}

/// Does what the command line says. 0: done, or all is green; 1: something is red; 2: it could not be done.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = attack::stage() {
        return code;
    }
    end_quietly_when_nobody_reads();
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(DoesNotCompile(said)) = error.downcast_ref() {
                eprintln!("\n{said}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let workspace = Workspace::find(cli.dir.as_deref())?;
    let lab = |number: &Number| Lab::load(&workspace, chosen(&workspace, number)?);
    match &cli.command {
        Command::List => list(&workspace, cli.json),
        Command::Doctor => doctor(&workspace, cli.json),
        Command::Watch(args) => watch(&workspace, &lab(&args.number)?, args),
        Command::Shell => shell(),
        Command::Machine(MachineCommand::Prepare) => prepare(&workspace, cli.json),
        Command::Cleanup => {
            tidy::cleanup(&workspace)?.iter().for_each(|path| println!("removed `{}`", path.display()));
            Ok(true)
        }
        Command::Start(number) => start(&workspace, &lab(number)?),
        Command::Check(args) => check(&workspace, &lab(&args.number)?, args, cli.json),
        Command::Hint(args) => hint(&workspace, &lab(&args.number)?, args.task, cli.json),
        Command::Diff(number) => diff(&workspace, &lab(number)?),
        Command::Solution(args) => solution(&workspace, &lab(&args.number)?, args.task),
        Command::CatchUp(args) => catch_up(&workspace, &lab(&args.number)?, args.task),
        Command::Reset(number) => reset(&workspace, &lab(number)?),
        Command::Grade(args) => grade(&workspace, args, cli.json),
        Command::Cell { stage, program } => grade::cell::main(&workspace, stage, program),
        Command::Attack(args) => attack(&workspace, args, cli.json),
        Command::MetaCheck(args) => meta(&workspace, args, cli.json),
    }
}

fn chosen(workspace: &Workspace, number: &Number) -> Result<u8> {
    let progress = Progress::load(workspace)?;
    number.lab.or(progress.current).context("which lab? Begin with `cargo lab start 1`")
}

fn list(workspace: &Workspace, json: bool) -> Result<bool> {
    let (progress, ink) = (Progress::load(workspace)?, Ink::of_stdout());
    let labs = Lab::all(workspace)?;
    if json {
        println!("{}", serde_json::json!({ "labs": labs, "progress": progress }));
        return Ok(true);
    }
    for lab in &labs {
        let all = lab.checks().filter(|(_, check)| !check.hidden).count();
        let state = match progress.labs.get(&lab.number) {
            Some(done) if done.checked > 0 => {
                let passed = lab.checks().filter(|(_, check)| !check.hidden && done.passed.contains(&check.id)).count();
                let text = format!("{passed} of {all} checks");
                if passed == all { ink.green(&text) } else { text }
            }
            Some(_) => "begun".to_owned(),
            None => ink.dim(&format!("{} tasks, {} min", lab.tasks.len(), lab.minutes)),
        };
        let mark = if progress.current == Some(lab.number) { "▸" } else { " " };
        println!("{mark} {} · {:<36} {state}", lab.number, lab.title);
    }
    Ok(true)
}

fn start(workspace: &Workspace, lab: &Lab) -> Result<bool> {
    let folder = starter::make(workspace, lab)?;
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    progress.of(lab.number);
    progress.save(workspace)?;
    println!("lab {} · {}, {} minutes: `{}`\n", lab.number, lab.title, lab.minutes, folder.display());
    for task in &lab.tasks {
        println!("task {} · {} ({} min)", task.number, task.title, task.minutes);
        for (path, hole) in lab.holes(workspace)?.iter().filter(|(_, hole)| hole.task == task.number) {
            println!("    {} · {}", path.display(), hole.name);
        }
    }
    println!("\nFill the holes (`todo!`), then `cargo lab check`: it is red until you have.");
    Ok(true)
}

fn check(workspace: &Workspace, lab: &Lab, args: &CheckArgs, json: bool) -> Result<bool> {
    let outcomes = outcomes(workspace, lab, args.place, args.task)?;
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    if args.task.is_none() {
        progress.of(lab.number).record(&outcomes);
    }
    progress.save(workspace)?;
    let green = outcomes.iter().all(|outcome| outcome.passed != Some(false));
    if json {
        println!("{}", serde_json::json!({ "lab": lab.number, "green": green, "checks": outcomes }));
        return Ok(green);
    }
    let ink = Ink::of_stdout();
    print!("{}", report::outcomes(lab, &outcomes, ink));
    match first_failure(&outcomes) {
        Some(failure) if failure.task > 0 => println!("red: `cargo lab hint` has hints for task {}", failure.task),
        Some(_) => println!("red"),
        None if args.task.is_none() => println!(
            "{}: `cargo lab attack {}`, then `cargo lab start {}`",
            ink.green("green"),
            lab.number,
            (lab.number % LABS) + 1
        ),
        None => println!("{}", ink.green("green")),
    }
    Ok(green)
}

fn outcomes(workspace: &Workspace, lab: &Lab, place: Place, task: Option<u8>) -> Result<Vec<Outcome>> {
    ensure!(
        place != Place::Host || nix::unistd::geteuid().is_root(),
        "`--where host` needs root: use sudo, or leave it away"
    );
    let _of_killed_runs = tidy::sweep();
    let mine = starter::folder(workspace, lab);
    ensure!(mine.join("src").is_dir(), "lab {} is not begun: `cargo lab start {}`", lab.number, lab.number);
    let wanted = |of: &Task, check: &Check| !check.hidden && task.is_none_or(|task| task == of.number);
    let scratch = workspace.mine.join(".built").join(lab.name());
    let kit = Kit::prepare(workspace, lab)?;
    let subject = check::Subject { lab, kit: &kit, mine: &mine, scratch: &scratch };
    check::assess(workspace, subject, place, &wanted, &|command| command)
}

fn doctor(workspace: &Workspace, json: bool) -> Result<bool> {
    let findings = doctor::look(workspace)?;
    if json {
        println!("{}", serde_json::json!(findings));
    } else {
        print!("{}", findings.text(Ink::of_stdout()));
    }
    Ok(findings.good())
}

fn watch(workspace: &Workspace, lab: &Lab, args: &WatchArgs) -> Result<bool> {
    let folder = starter::folder(workspace, lab).join("src");
    let mut watch = watch::Watch::new(&folder, args.poll, args.manual);
    loop {
        match outcomes(workspace, lab, Place::Auto, None) {
            Ok(outcomes) => show_first(workspace, lab, &outcomes)?,
            Err(error) => match error.downcast_ref() {
                Some(DoesNotCompile(said)) => println!("{said}"),
                None => return Err(error),
            },
        }
        if !watch.wait()? {
            return Ok(true);
        }
    }
}

fn show_first(workspace: &Workspace, lab: &Lab, outcomes: &[Outcome]) -> Result<()> {
    let (mut progress, ink) = (Progress::load(workspace)?, Ink::of_stdout());
    progress.of(lab.number).record(outcomes);
    progress.save(workspace)?;
    let (had, possible) = check::points(outcomes);
    match first_failure(outcomes) {
        None => println!("{} {had} of {possible} points", ink.green("green")),
        Some(first) => {
            println!("{} {had} of {possible} points · task {} · {}", ink.red("red"), first.task, first.id);
            print!("{}", report::details(first));
            println!("      `cargo lab hint --task {}` has a hint", first.task);
        }
    }
    Ok(())
}

fn shell() -> Result<bool> {
    let missing = testkit::lacking(&testkit::machine::KERNEL);
    ensure!(missing.is_none(), "the lab machine {}", missing.unwrap_or_default());
    let program = std::env::current_exe().context("this program")?;
    Ok(testkit::machine::shell(&program).context("boot the lab machine")?.success())
}

/// The packages of the lab machine and of checks.
const PACKAGES: [&str; 9] =
    ["user-mode-linux", "busybox-static", "iproute2", "nftables", "uidmap", "skopeo", "umoci", "gcc", "libc6-dev"];

fn prepare(workspace: &Workspace, json: bool) -> Result<bool> {
    let install = |words: &[&str]| {
        std::process::Command::new("apt-get").args(words).env("DEBIAN_FRONTEND", "noninteractive").status()
    };
    if nix::unistd::geteuid().is_root() && std::path::Path::new("/usr/bin/apt-get").exists() {
        install(&["update", "-qq"]).context("run apt-get")?;
        let done = install(&[&["install", "-y", "-qq", "--no-install-recommends"], &PACKAGES[..]].concat())
            .context("run apt-get")?;
        ensure!(done.success(), "apt-get install {}: {done}", PACKAGES.join(" "));
    } else {
        eprintln!("as root on Debian or Ubuntu: apt-get install {}", PACKAGES.join(" "));
    }
    for lab in Lab::all(workspace)? {
        eprintln!("building what lab {} stands on", lab.number);
        Kit::prepare(workspace, &lab)?;
    }
    doctor(workspace, json)
}

fn hint(workspace: &Workspace, lab: &Lab, task: Option<u8>, json: bool) -> Result<bool> {
    let mut progress = Progress::load(workspace)?;
    let done = progress.of(lab.number);
    let fails = |task: &&Task| task.checks.iter().any(|check| !check.hidden && !done.passed.contains(&check.id));
    let task = match task {
        Some(number) => {
            lab.tasks.iter().find(|task| task.number == number).with_context(|| format!("there is no task {number}"))?
        }
        None => match lab.tasks.iter().find(fails) {
            Some(task) => task,
            None => {
                println!("all checks pass: no hint is needed");
                return Ok(true);
            }
        },
    };
    let shown = done.hints.entry(task.number).or_default();
    *shown = (*shown + 1).min(4);
    let level = *shown;
    let words = match task.hints.get(level - 1) {
        Some(hint) => hint.clone(),
        None => lines(workspace, lab, Some(task.number))?,
    };
    progress.save(workspace)?;
    if json {
        println!("{}", serde_json::json!({ "lab": lab.number, "task": task.number, "level": level, "hint": words }));
        return Ok(true);
    }
    let kind = ["a nudge", "where it is written", "the shape", "the lines"][level - 1];
    println!("task {} · {} · hint {level} of 4, {kind}\n\n{}", task.number, task.title, words.trim_end());
    Ok(true)
}

fn lines(workspace: &Workspace, lab: &Lab, task: Option<u8>) -> Result<String> {
    let holes = lab.holes(workspace)?;
    let wanted = holes.iter().filter(|(_, hole)| task.is_none_or(|task| task == hole.task));
    let text =
        wanted.map(|(path, hole)| format!("// {}: {}\n{}", path.display(), hole.name, holes::dedented(&hole.body)));
    Ok(text.collect::<Vec<_>>().join("\n"))
}

fn diff(workspace: &Workspace, lab: &Lab) -> Result<bool> {
    let mine = starter::folder(workspace, lab);
    ensure!(mine.join("src").is_dir(), "lab {} is not begun: `cargo lab start {}`", lab.number, lab.number);
    let mut command = std::process::Command::new("diff");
    let colour = if std::io::IsTerminal::is_terminal(&std::io::stdout()) { "--color=always" } else { "--color=never" };
    command
        .args(["-ru", colour, "--label=mine", "--label=solution", "--ignore-matching-lines=^#!\\[allow(unused)\\]"])
        .arg(mine.join("src"))
        .arg(lab.folder(workspace).join("src"));
    let status = command.status().context("run diff")?;
    Ok(status.code() != Some(2))
}

fn solution(workspace: &Workspace, lab: &Lab, task: Option<u8>) -> Result<bool> {
    let mut progress = Progress::load(workspace)?;
    progress.of(lab.number).solution = true;
    progress.save(workspace)?;
    print!("{}", lines(workspace, lab, task)?);
    Ok(true)
}

fn catch_up(workspace: &Workspace, lab: &Lab, task: Option<u8>) -> Result<bool> {
    if !starter::folder(workspace, lab).exists() {
        starter::make(workspace, lab)?;
    }
    starter::solve(workspace, lab, task)?;
    let mut progress = Progress::load(workspace)?;
    progress.current = Some(lab.number);
    progress.of(lab.number).solution = true;
    progress.save(workspace)?;
    println!("the solution is in `{}`", starter::folder(workspace, lab).display());
    Ok(true)
}

fn reset(workspace: &Workspace, lab: &Lab) -> Result<bool> {
    let folder = starter::folder(workspace, lab);
    if folder.exists() {
        let free =
            (1..).map(|number| workspace.mine.join(format!("{}.old{number}", lab.name()))).find(|path| !path.exists());
        let old = free.context("a free name")?;
        std::fs::rename(&folder, &old).context("put the old crate aside")?;
        println!("the old one is `{}`", old.display());
    }
    start(workspace, lab)
}

fn grade(workspace: &Workspace, args: &GradeArgs, json: bool) -> Result<bool> {
    let lab = Lab::load(workspace, args.lab)?;
    let settings = grade::Settings {
        submissions: args
            .submissions
            .canonicalize()
            .with_context(|| format!("find `{}`", args.submissions.display()))?,
        out: args.out.clone(),
        roster: args.roster.clone(),
        again: args.again.clone(),
        place: args.place,
        time_limit: std::time::Duration::from_secs(args.time_limit),
        jobs: args.jobs,
    };
    let ink = Ink::of_stdout();
    let grades = grade::all(workspace, &lab, &settings, &|grade| {
        if !json {
            println!("{:<24} {}", grade.name, grade.summary(ink));
        }
    })?;
    for (path, text) in [
        (&args.csv, grade::csv(&lab, &grades)),
        (&args.html, grade::html(&lab, &grades)),
        (&args.junit, grade::junit(&lab, &grades)),
    ] {
        if let Some(path) = path {
            std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))?;
        }
    }
    if let Some(folder) = &args.github {
        grade::github(&grades, folder)?;
    }
    if json {
        println!("{}", serde_json::json!({ "lab": lab.number, "grades": grades }));
    }
    let broken: Vec<&str> =
        grades.iter().filter(|grade| grade.broken.is_some()).map(|grade| grade.name.as_str()).collect();
    ensure!(broken.is_empty(), "not graded, because the environment broke: {}", broken.join(", "));
    Ok(true)
}

fn attack(workspace: &Workspace, args: &AttackArgs, json: bool) -> Result<bool> {
    let attacks: Vec<(&str, attack::Target, bool)> = if args.against.is_empty() {
        attack::of_lab(chosen(workspace, &args.number)?)
    } else {
        let target = |name: &String| {
            attack::Target::try_from(name.clone())
                .map_err(|name| anyhow::anyhow!("there is no target `{name}`: tara, crun, runc"))
        };
        let targets = args.against.iter().map(target).collect::<Result<Vec<_>>>()?;
        targets.into_iter().flat_map(|target| attack::names().map(move |card| (card, target, false))).collect()
    };
    let targets: Vec<attack::Target> = attacks.iter().map(|(_, target, _)| *target).collect();
    let programs = attack::Programs::build(workspace, &targets)?;
    let (mut as_expected, ink) = (true, Ink::of_stdout());
    for (card, target, has_to_work) in attacks {
        let verdict = attack::run(card, target, &programs)?;
        as_expected &= verdict.works.is_none_or(|works| works == has_to_work);
        if json {
            println!("{}", serde_json::json!({ "verdict": verdict, "expected": has_to_work }));
            continue;
        }
        let result = match verdict.works {
            Some(true) => ink.red("works"),
            Some(false) => ink.green("blocked"),
            None => ink.dim("not run"),
        };
        println!("{:<16} {:<62} {result}\n    {}", verdict.target.to_string(), verdict.says, ink.dim(&verdict.seen));
    }
    Ok(as_expected)
}

fn meta(workspace: &Workspace, args: &MetaArgs, json: bool) -> Result<bool> {
    let numbers: Vec<u8> = if args.labs.is_empty() { (1..=LABS).collect() } else { args.labs.clone() };
    let labs = numbers.into_iter().map(|number| Lab::load(workspace, number)).collect::<Result<Vec<_>>>()?;
    let (begin, ink) = (std::time::Instant::now(), Ink::of_stdout());
    let say = |finding: &meta_check::Finding| {
        let mark = if finding.problem.is_none() { ink.green("✓") } else { ink.red("✗") };
        let name = crate::catalogue::name_of(finding.lab);
        let problem = finding.problem.as_ref().map(|problem| format!("\n{problem}")).unwrap_or_default();
        if json {
            println!("{}", serde_json::json!(finding));
        } else {
            println!("{mark} {name} {} ({} ms){problem}", finding.what, finding.milliseconds);
        }
    };
    let good = meta_check::all(workspace, &labs, args.place, args.only.as_deref(), &say)?;
    eprintln!("{} s", begin.elapsed().as_secs());
    Ok(good)
}
