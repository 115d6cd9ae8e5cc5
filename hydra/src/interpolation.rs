//! `${...}` -> values.
//!
//! An interpolation is evaluated where it stands: its result is either a place in the tree (so that
//! `${a}` of a mapping stays lazy, and only the parts that are asked for are followed) or a value of
//! its own. The finished tree is then built from the root, and every failure on the way is kept.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::Dialect;
use crate::env::{Environment, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Errors};
use crate::grammar::{self, Element, Interpolation, Part};
use crate::limits::{Budget, MAX_DEPTH, MAX_ERRORS, MAX_RESOLVING, Spent};
use crate::merge::{Kind, Step};
use crate::moment::Moment;
use crate::path;
use crate::scalar;
use crate::source::{Origin, is_secret_name};
use crate::types::{convert, refuse_null, shown};
use crate::value::{Key, KeyKind, Map, Node, Value};
use crate::warning::Warning;

/// A resolver of your own: from its arguments to its value, or to the reason why there is none.
pub type ResolverFn = Box<dyn Fn(&[Node]) -> Result<Value, String> + Send + Sync>;

/// Resolves interpolations.
///
/// Knows OmegaConf's resolvers (`oc.env`, `oc.decode`, `oc.select`, `oc.create`, `oc.dict.keys`,
/// `oc.dict.values`, `oc.deprecated`) and Hydra's (`hydra`, `now`, `python_version`); further ones can
/// be added.
pub struct Interpolator<'e> {
    pub(crate) environment: &'e dyn Environment,
    pub(crate) custom: BTreeMap<String, ResolverFn>,
    pub(crate) dialect: Dialect,
    /// Where `${hydra:...}` looks: a configuration with the key `hydra`.
    pub(crate) hydra: Option<&'e Node>,
    /// What `${now:...}` shows.
    pub(crate) moment: Moment,
}

impl Default for Interpolator<'static> {
    fn default() -> Self {
        Self::new(&ProcessEnvironment)
    }
}

impl<'e> Interpolator<'e> {
    /// With the variables of `environment`.
    #[must_use]
    pub fn new(environment: &'e dyn Environment) -> Self {
        Self {
            environment,
            custom: BTreeMap::new(),
            dialect: Dialect::default(),
            hydra: None,
            moment: Moment::default(),
        }
    }

    /// Reads the texts as a dialect; use the one that the document was loaded with.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Lets `${hydra:a.b}` look into `config`, below its key `hydra`.
    #[must_use]
    pub fn with_hydra(mut self, config: &'e Node) -> Self {
        self.hydra = Some(config);
        self
    }

    /// Lets `${now:...}` show a moment, instead of that of its first use.
    #[must_use]
    pub fn with_moment(mut self, moment: Moment) -> Self {
        self.moment = moment;
        self
    }

    /// Adds a resolver, `${name:...}`. It goes before a built-in one of the same name.
    #[must_use]
    pub fn with_resolver(mut self, name: impl Into<String>, resolver: ResolverFn) -> Self {
        self.custom.insert(name.into(), resolver);
        self
    }

    /// The tree with every interpolation replaced by its value. `???` stays.
    ///
    /// # Errors
    /// All interpolations that fail, each with the place where it is written.
    pub fn resolve(&self, root: &Node) -> Result<Node, Errors> {
        self.resolve_with_warnings(root).map(|(node, _)| node)
    }

    /// The same, with what `oc.deprecated` has to say.
    ///
    /// # Errors
    /// As [`Interpolator::resolve`].
    pub fn resolve_with_warnings(&self, root: &Node) -> Result<(Node, Vec<Warning>), Errors> {
        let mut run = Run::new(self, root);
        let node = run.build(&Place::root(root));
        let warnings = std::mem::take(&mut run.warnings);
        Ok((run.finish(node)?, warnings))
    }

    /// The value at a dotted path, with every interpolation within it replaced; the rest of the
    /// tree is not looked at. `None` if there is no such path.
    ///
    /// # Errors
    /// All interpolations on the way and within that fail.
    pub fn resolve_at(&self, root: &Node, dotted: &str) -> Result<Option<Node>, Errors> {
        let Some(keys) = path::split(dotted) else { return Ok(None) };
        let keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
        let mut run = Run::new(self, root);
        let place = Place::root(root);
        match run.select(place.clone(), &keys, &place) {
            Ok(found) => {
                let node = run.build_found(found, &place);
                run.finish(node).map(Some)
            }
            Err(Miss::Failed(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

impl Interpolator<'_> {
    /// What the interpolation at a place leads to, as it stands there: interpolations in it are not
    /// followed. `None` if it fails.
    pub(crate) fn target<'s>(
        &self,
        root: &Node,
        steps: impl IntoIterator<Item = &'s Step>,
    ) -> Option<Node> {
        self.try_target(root, steps).ok().flatten()
    }

    /// The same; `None` if there is no such place.
    ///
    /// # Errors
    /// The interpolation fails.
    pub(crate) fn try_target<'s>(
        &self,
        root: &Node,
        steps: impl IntoIterator<Item = &'s Step>,
    ) -> Result<Option<Node>, Error> {
        let mut place = Place::root(root);
        for step in steps {
            let Some(next) = place.go(step) else { return Ok(None) };
            place = next;
        }
        Ok(Some(match Run::new(self, root).evaluate(&place)? {
            Found::Place(there) => there.node.clone(),
            Found::Owned(value) => Node::new(value, place.node.origin.clone()),
        }))
    }
}

/// Replaces every interpolation by its value, with OmegaConf's own resolvers.
///
/// # Errors
/// As [`Interpolator::resolve`].
pub fn resolve(root: &Node, environment: &dyn Environment) -> Result<Node, Errors> {
    Interpolator::new(environment).resolve(root)
}

/// A node of the tree, with the nodes above it and its dotted path. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Place<'r> {
    above: Option<Rc<Place<'r>>>,
    pub(crate) node: &'r Node,
    path: Rc<str>,
}

impl<'r> Place<'r> {
    pub(crate) fn root(node: &'r Node) -> Self {
        Self { above: None, node, path: "".into() }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn below(&self, node: &'r Node, path: String) -> Self {
        Self { above: Some(Rc::new(self.clone())), node, path: path.into() }
    }

    fn child(&self, key: &str) -> Option<Self> {
        let path = match &self.node.value {
            Value::List(_) => path::index(self.path(), scalar::list_index(key)?),
            _ => path::join(self.path(), key),
        };
        self.node.child(key).map(|node| self.below(node, path))
    }

    /// The child at a step.
    pub(crate) fn go(&self, step: &Step) -> Option<Self> {
        let path = match step {
            Step::Key(key) => path::join(self.path(), &key.text()),
            Step::Index(at) => path::index(self.path(), *at),
        };
        step.of(self.node).map(|node| self.below(node, path))
    }

    /// The steps from the root to here.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut place = self;
        while let Some(above) = place.above.as_deref() {
            let this = |node: &Node| std::ptr::eq(node, place.node);
            let step = match &above.node.value {
                Value::Map(map) => {
                    let found = map.iter().find(|(_, node)| this(node));
                    found.map(|(key, _)| Step::Key(key.clone()))
                }
                Value::List(items) => items.iter().position(this).map(Step::Index),
                _ => None,
            };
            steps.extend(step);
            place = above;
        }
        steps.reverse();
        steps
    }

    /// The container so many levels above.
    fn up(&self, levels: usize) -> Option<Self> {
        let mut place = self;
        for _ in 0..levels {
            place = place.above.as_deref()?;
        }
        Some(place.clone())
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.node.origin.clone()).with_path(self.path())
    }

    /// An interpolation failed because of what would be an exception of a class in Python.
    pub(crate) fn raised(&self, class: &str, message: &str) -> Error {
        self.failed(format!("{class} raised while resolving interpolation: {message}"))
    }

    /// An interpolation failed for a reason that has no class of its own.
    pub(crate) fn failed(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Interpolation(message.into()))
    }
}

/// What an interpolation leads to.
pub(crate) enum Found<'r> {
    /// A place in the tree, which is not an interpolation itself.
    Place(Place<'r>),
    /// A value of its own, resolved.
    Owned(Value),
}

impl Found<'_> {
    pub(crate) fn value(&self) -> &Value {
        match self {
            Self::Place(place) => &place.node.value,
            Self::Owned(value) => value,
        }
    }

    /// The value as it shows in a text.
    fn shown(&self) -> String {
        match self {
            Self::Place(place) => shown(place.node),
            Self::Owned(value) => scalar::python_str(value),
        }
    }

    /// The same for a message, which does not repeat what may be a secret.
    pub(crate) fn shown_if_safe(&self) -> String {
        let number = matches!(self.value(), Value::Int(_) | Value::Float(_) | Value::Bool(_));
        if number || !self.may_be_secret() { self.shown() } else { "...".to_owned() }
    }

    /// A resolver may have taken the value from the environment.
    fn may_be_secret(&self) -> bool {
        match self {
            Self::Place(place) => place.node.origin.is_interpolated(),
            Self::Owned(_) => true,
        }
    }
}

/// Why a path leads nowhere.
pub(crate) enum Miss {
    /// There is no such key; near ones are in the hint.
    NoKey { near: Option<String> },
    /// The path goes on where there is no container.
    NoContainer(String),
    /// Something on the way failed.
    Failed(Error),
}

/// The resolution of one tree.
pub(crate) struct Run<'r> {
    pub(crate) with: &'r Interpolator<'r>,
    root: &'r Node,
    /// The interpolations that are being evaluated, outermost first.
    active: Vec<Place<'r>>,
    /// The containers that are being built, outermost first.
    building: Vec<*const Node>,
    /// How many interpolations and arguments lead to one another.
    depth: usize,
    budget: Budget,
    /// The budget is spent, or enough errors have been found.
    stopped: bool,
    errors: Vec<Error>,
    pub(crate) warnings: Vec<Warning>,
}

impl<'r> Run<'r> {
    pub(crate) fn new(with: &'r Interpolator<'r>, root: &'r Node) -> Self {
        Self {
            with,
            root,
            active: Vec::new(),
            building: Vec::new(),
            depth: 0,
            budget: Budget::default(),
            stopped: false,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The finished value at a path of another tree; its cost and depth count here. `None` if there
    /// is no such path.
    pub(crate) fn resolve_in(
        &mut self,
        other: &'r Node,
        keys: &[String],
    ) -> Result<Option<Value>, Error> {
        let mut run = Run::new(self.with, other);
        std::mem::swap(&mut run.budget, &mut self.budget);
        run.depth = self.depth;
        run.active.clone_from(&self.active);
        run.building.clone_from(&self.building);
        let place = Place::root(other);
        let found = match run.select(place.clone(), keys, &place) {
            Ok(found) => Ok(Some(run.owned(found))),
            Err(Miss::Failed(error)) => Err(error),
            Err(_) => Ok(None),
        };
        std::mem::swap(&mut run.budget, &mut self.budget);
        self.stopped |= run.stopped;
        self.warnings.append(&mut run.warnings);
        match run.errors.into_iter().next() {
            Some(error) => Err(error),
            None => found,
        }
    }

    fn finish(self, node: Node) -> Result<Node, Errors> {
        Errors::check(self.errors)?;
        Ok(node)
    }

    /// Keeps an error once, though several interpolations may have met it.
    fn keep(&mut self, error: Error) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
        self.stopped |= self.errors.len() >= MAX_ERRORS;
    }

    fn pay(&mut self, bytes: usize, place: &Place<'_>) -> Result<(), Error> {
        self.budget.spend(bytes).map_err(|spent| self.out_of_budget(spent, place))
    }

    fn out_of_budget(&mut self, spent: Spent, place: &Place<'_>) -> Error {
        self.stopped = true;
        spent.at(&place.node.origin).with_path(place.path())
    }

    /// The finished copy of a place. Failures are kept, and null stands for them.
    fn build(&mut self, place: &Place<'r>) -> Node {
        if self.stopped {
            return Node::new(Value::Null, place.node.origin.clone());
        }
        match self.try_build(place) {
            Ok(node) => node,
            Err(error) => {
                self.keep(error);
                Node::new(Value::Null, place.node.origin.clone())
            }
        }
    }

    fn try_build(&mut self, place: &Place<'r>) -> Result<Node, Error> {
        match &place.node.value {
            Value::Interpolation(_) => {
                let found = self.evaluate(place)?;
                Ok(self.build_found(found, place))
            }
            Value::List(_) | Value::Map(_) => self.build_container(place),
            Value::Str(text) => {
                self.pay(text.len(), place)?;
                Ok(place.node.clone())
            }
            _ => {
                self.pay(0, place)?;
                Ok(place.node.clone())
            }
        }
    }

    fn build_container(&mut self, place: &Place<'r>) -> Result<Node, Error> {
        let this = std::ptr::from_ref(place.node);
        if self.building.contains(&this) {
            return Err(place.failed("Recursive interpolation detected\nthe value contains itself"));
        }
        if self.building.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(place.error(ErrorKind::Limit(message)));
        }
        self.pay(0, place)?;
        self.building.push(this);
        let value = match &place.node.value {
            Value::List(items) => {
                let items = items.iter().enumerate();
                Value::List(
                    items
                        .map(|(at, item)| {
                            self.build(&place.below(item, path::index(place.path(), at)))
                        })
                        .collect(),
                )
            }
            Value::Map(map) => {
                let pairs = map.iter();
                let built = pairs.map(|(key, node)| {
                    let below = place.below(node, path::join(place.path(), &key.text()));
                    (key.clone(), self.build(&below))
                });
                Value::Map(built.collect())
            }
            other => other.clone(),
        };
        self.building.pop();
        Ok(Node::new(value, place.node.origin.clone()).typed_as(place.node))
    }

    /// The finished copy of what the interpolation at `place` leads to.
    fn build_found(&mut self, found: Found<'r>, place: &Place<'_>) -> Node {
        let origin = place.node.origin.clone();
        match found {
            Found::Place(there) => {
                let mut built = self.build(&there);
                built.origin = origin;
                built
            }
            Found::Owned(value) => Node::new(value, origin.interpolated()).typed_as(place.node),
        }
    }

    /// The finished value of a tree that a resolver made: what it refers to is looked up as if the
    /// tree stood in the container of the interpolation.
    pub(crate) fn made(&mut self, tree: &Node, place: &Place<'r>) -> Result<Value, Error> {
        self.deeper(place, |run| {
            let mut inner = Run {
                with: run.with,
                root: run.root,
                active: run.active.clone(),
                building: run.building.clone(),
                depth: run.depth,
                budget: run.budget.clone(),
                stopped: run.stopped,
                errors: Vec::new(),
                warnings: Vec::new(),
            };
            let at = Place { above: place.above.clone(), node: tree, path: place.path.clone() };
            let built = inner.build(&at);
            run.budget = inner.budget;
            run.stopped = inner.stopped;
            run.warnings.append(&mut inner.warnings);
            match inner.errors.into_iter().next() {
                Some(error) => Err(error),
                None => Ok(built.value),
            }
        })
    }

    /// The finished value of an argument.
    pub(crate) fn owned(&mut self, found: Found<'r>) -> Value {
        match found {
            Found::Place(place) => self.build(&place).value,
            Found::Owned(value) => value,
        }
    }

    /// Evaluates the interpolation that stands at a place.
    pub(crate) fn evaluate(&mut self, place: &Place<'r>) -> Result<Found<'r>, Error> {
        let Value::Interpolation(text) = &place.node.value else {
            return Ok(Found::Place(place.clone()));
        };
        if let Some(start) = self.active.iter().position(|a| std::ptr::eq(a.node, place.node)) {
            let circle: Vec<_> = self.active[start..].iter().map(Place::path).collect();
            let message = format!(
                "Recursive interpolation detected\n{} -> {}",
                circle.join(" -> "),
                place.path()
            );
            return Err(place.failed(message));
        }
        self.pay(0, place)?;
        let parts = grammar::parse_text(text, self.with.dialect)
            .map_err(|error| error.at(&place.node.origin).with_path(place.path()))?;
        self.active.push(place.clone());
        let found = match &parts[..] {
            [Part::Interpolation(only)] => self.interpolation(only, place),
            parts => self.joined(parts, place),
        };
        self.active.pop();
        fitted(found?, text, place)
    }

    fn joined(&mut self, parts: &[Part], place: &Place<'r>) -> Result<Found<'r>, Error> {
        self.text(parts, place).map(|text| Found::Owned(Value::Str(text)))
    }

    /// The parts as one text.
    fn text(&mut self, parts: &[Part], place: &Place<'r>) -> Result<String, Error> {
        let mut text = String::new();
        for part in parts {
            let piece = self.part(part, place)?;
            self.pay(piece.len(), place)?;
            text.push_str(&piece);
        }
        Ok(text)
    }

    fn part(&mut self, part: &Part, place: &Place<'r>) -> Result<String, Error> {
        match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Interpolation(inner) => {
                let found = self.interpolation(inner, place)?;
                Ok(found.shown())
            }
        }
    }

    fn deeper<T>(
        &mut self,
        place: &Place<'r>,
        go: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth >= MAX_RESOLVING {
            let message = format!("more than {MAX_RESOLVING} interpolations lead to one another");
            return Err(place.error(ErrorKind::Limit(message)));
        }
        self.depth += 1;
        let result = go(self);
        self.depth -= 1;
        result
    }

    fn interpolation(
        &mut self,
        interpolation: &Interpolation,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        self.pay(0, place)?;
        self.deeper(place, |run| run.follow(interpolation, place))
    }

    fn follow(
        &mut self,
        interpolation: &Interpolation,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        match interpolation {
            Interpolation::Node { dots, keys } => {
                let keys: Vec<_> =
                    keys.iter().map(|key| self.part(key, place)).collect::<Result<_, _>>()?;
                self.node(*dots, &keys, place)
            }
            Interpolation::Resolver { name, arguments } => {
                let name: Vec<_> =
                    name.iter().map(|part| self.part(part, place)).collect::<Result<_, _>>()?;
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|argument| self.element(argument, place))
                    .collect::<Result<_, _>>()?;
                self.call(&name.join("."), arguments, place)
            }
            Interpolation::Shell { name, default } => {
                match self.with.environment.get(name).filter(|value| !value.is_empty()) {
                    Some(value) => Ok(Found::Owned(Value::Str(value))),
                    None => self.joined(default, place),
                }
            }
        }
    }

    fn node(
        &mut self,
        dots: usize,
        keys: &[String],
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        let shown = format!("{}{}", ".".repeat(dots), keys.join("."));
        match self.select_from(dots, keys, place) {
            Ok(found) if matches!(found.value(), Value::Missing) => {
                Err(place.error(ErrorKind::InterpolationToMissing(shown)))
            }
            Ok(found) => Ok(found),
            Err(miss) => Err(miss.into_error(&shown, place)),
        }
    }

    /// Follows a path from the root, or from so many levels above `place`.
    pub(crate) fn select_from(
        &mut self,
        dots: usize,
        keys: &[String],
        place: &Place<'r>,
    ) -> Result<Found<'r>, Miss> {
        let start = match dots {
            0 => Some(Place::root(self.root)),
            _ => place.up(dots),
        };
        let nowhere = || Miss::NoKey { near: None };
        self.select(start.ok_or_else(nowhere)?, keys, place)
    }

    fn select(
        &mut self,
        start: Place<'r>,
        keys: &[String],
        place: &Place<'r>,
    ) -> Result<Found<'r>, Miss> {
        let mut found = Found::Place(start);
        let mut walked = Vec::new();
        for key in keys {
            found = self.step(&found, key, &walked.join("."), place)?;
            walked.push(key.as_str());
        }
        Ok(found)
    }

    fn step(
        &mut self,
        found: &Found<'r>,
        key: &str,
        walked: &str,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Miss> {
        match found.value() {
            Value::Map(map) if map.get(key).is_none() => {
                Err(Miss::NoKey { near: crate::nearest(key, map.text_keys()).map(str::to_owned) })
            }
            Value::List(_) if scalar::list_index(key).is_none() => Err(Miss::Failed(
                place
                    .raised("TypeError", &format!("Index '{key}' (str) is not an int"))
                    .with_hint(format!("`{walked}` is a list")),
            )),
            Value::Missing => {
                let kind = ErrorKind::InterpolationToMissing(walked.to_owned());
                Err(Miss::Failed(place.error(kind)))
            }
            Value::Map(_) | Value::List(_) => {
                let no_item = || Miss::NoKey { near: None };
                match found {
                    Found::Place(at) => {
                        let child = at.child(key).ok_or_else(no_item)?;
                        self.evaluate(&child).map_err(Miss::Failed)
                    }
                    Found::Owned(value) => {
                        let child = match value {
                            Value::Map(map) => map.get(key),
                            Value::List(items) => {
                                scalar::list_index(key).and_then(|at| items.get(at))
                            }
                            _ => None,
                        };
                        Ok(Found::Owned(child.ok_or_else(no_item)?.value.clone()))
                    }
                }
            }
            _ => Err(Miss::NoContainer(walked.to_owned())),
        }
    }

    /// The value of an argument.
    pub(crate) fn element(
        &mut self,
        element: &Element,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        match element {
            Element::Value(value) => Ok(Found::Owned(value.clone())),
            Element::Joined(parts) => self.joined(parts, place),
            Element::Interpolation(inner) => self.interpolation(inner, place),
            Element::List(items) => {
                let items = items
                    .iter()
                    .map(|item| self.argument(item, place))
                    .collect::<Result<_, _>>()?;
                Ok(Found::Owned(Value::List(items)))
            }
            Element::Dict(pairs) => {
                let mut map = Map::new();
                for (kind, element) in pairs {
                    if matches!(kind, KeyKind::Null) {
                        return Err(place.failed("null cannot be a key"));
                    }
                    let key = Key::new(kind.clone(), place.node.origin.clone().interpolated());
                    map.insert(key, self.argument(element, place)?);
                }
                Ok(Found::Owned(Value::Map(map)))
            }
        }
    }

    fn argument(&mut self, element: &Element, place: &Place<'r>) -> Result<Node, Error> {
        let found = self.deeper(place, |run| run.element(element, place))?;
        let value = self.owned(found);
        Ok(Node::new(value, place.node.origin.clone().interpolated()))
    }
}

/// What an interpolation gave, as the type of its place has it. Only scalars have to fit.
fn fitted<'r>(found: Found<'r>, text: &str, place: &Place<'r>) -> Result<Found<'r>, Error> {
    let slot = place.node.slot();
    if Kind::of(place.node) != Kind::Scalar || matches!(found.value(), Value::Missing) {
        return Ok(found);
    }
    let converted = match &found {
        Found::Place(there) if matches!(there.node.value, Value::Null) => null(place.node),
        Found::Owned(Value::Null) => null(place.node),
        Found::Place(there) => convert(slot, there.node),
        Found::Owned(value) => convert(slot, &Node::new(value.clone(), Origin::memory())),
    };
    match converted {
        Ok(value) if value == *found.value() => Ok(found),
        Ok(value) => Ok(Found::Owned(value)),
        Err(why) => {
            let secret = place.path().rsplit('.').next().is_some_and(is_secret_name);
            let why = if secret || found.may_be_secret() {
                format!("the value does not fit the type `{slot}`")
            } else {
                why
            };
            let message = format!("While dereferencing interpolation '{text}': {why}");
            Err(place.error(ErrorKind::InterpolationValue(message)))
        }
    }
}

fn null(node: &Node) -> Result<Value, String> {
    if node.is_optional() { Ok(Value::Null) } else { Err(refuse_null(node.slot())) }
}

impl Miss {
    /// As the failure of the interpolation `${shown}`.
    pub(crate) fn into_error(self, shown: &str, place: &Place<'_>) -> Error {
        match self {
            Self::NoKey { near } => {
                let error = place.error(ErrorKind::InterpolationKey(shown.to_owned()));
                match near {
                    Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                    None => error,
                }
            }
            Self::NoContainer(walked) => {
                let key = shown.strip_prefix(&walked).unwrap_or(shown);
                let key = key.trim_start_matches(['.', '[']);
                let child = key.split(['.', '[', ']']).next().unwrap_or_default();
                place.raised("ConfigTypeError", &format!(
                    "Error trying to access {shown}: node `{walked}` is not a container and thus cannot contain `{child}`"
                ))
            }
            Self::Failed(error) => error,
        }
    }
}

impl Place<'_> {
    /// There is no resolver of that name.
    pub(crate) fn unknown_resolver<'a>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Error {
        let error = self.error(ErrorKind::UnknownResolver(name.to_owned()));
        if name == "env" {
            error.with_hint("OmegaConf 2 calls it `oc.env`")
        } else {
            error.with_nearest(name, known)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    const SHELL: Dialect = Dialect { shell_defaults: true };

    fn env() -> BTreeMap<String, String> {
        BTreeMap::from([("A".to_owned(), "env".to_owned()), ("E".to_owned(), String::new())])
    }

    fn resolved(text: &str) -> Result<Node, Errors> {
        resolve(&Document::from_str(text, "c.yaml").unwrap(), &env())
    }

    #[test]
    fn all_failures_are_told_at_once_and_each_once() {
        let errors = resolved("a: ${nope}\nb: ${a}\nc: ${oc.env:NONE}\nd: ${c}\n").unwrap_err();
        let places: Vec<_> = errors.iter().map(|error| error.origin().to_string()).collect();
        assert_eq!(places, ["c.yaml:1:4", "c.yaml:3:4"]);
    }

    #[test]
    fn a_near_key_is_suggested() {
        let errors = resolved("scenario: {samples: 1}\nx: ${scenario.sample}\n").unwrap_err();
        assert_eq!(errors.first().hint(), Some("did you mean `samples`?"));
    }

    #[test]
    fn a_path_through_an_interpolated_mapping_follows_only_what_it_needs() {
        let node = resolved("a: {x: '${b.y}', y: 1}\nb: ${a}\n").unwrap();
        assert_eq!(node.at("b.x").unwrap().value, Value::Int(1));
    }

    #[test]
    fn circles_end_with_an_error_that_names_them() {
        let errors = resolved("a: ${b}\nb: ${a}\n").unwrap_err();
        assert!(errors.to_string().contains("a -> b -> a"), "{errors}");
        assert!(resolved("a: {b: '${a}'}\n").is_err());
        assert!(resolved("a: ['${b}']\nb: ['${a}']\n").is_err());
    }

    #[test]
    fn growth_without_end_ends_with_an_error() {
        let mut lists = String::from("a0: [x, x]\n");
        let mut texts = String::from("a0: xxxxxxxxxx\n");
        for level in 1..40 {
            let below = level - 1;
            lists.push_str(&format!("a{level}: ['${{a{below}}}', '${{a{below}}}']\n"));
            texts.push_str(&format!("a{level}: ${{a{below}}}${{a{below}}}\n"));
        }
        for text in [lists, texts] {
            let errors = resolved(&text).unwrap_err();
            assert!(errors.iter().any(|e| matches!(e.kind(), ErrorKind::Limit(_))), "{errors}");
        }
    }

    #[test]
    fn a_long_chain_ends_with_an_error_and_not_with_a_crash() {
        let mut text = String::from("a0: 1\n");
        for level in 1..5000 {
            text.push_str(&format!("a{level}: ${{a{}}}\n", level - 1));
        }
        assert!(resolved(&text).is_err());
    }

    #[test]
    fn the_deepest_that_is_allowed_fits_the_stack_of_a_thread() {
        let nested =
            |inside: &str| format!("{}{inside}{}", "${oc.create:[".repeat(10), "]}".repeat(10));
        let mut text = format!("a0: {}1{}\n", "[".repeat(90), "]".repeat(90));
        for level in 1..100 {
            text.push_str(&format!("a{level}: '{}'\n", nested(&format!("${{a{}}}", level - 1))));
        }
        assert!(resolved(&text).is_err());
        let start =
            format!("a0: {}'{}'{}\n", "[".repeat(90), nested("${oc.env:A}"), "]".repeat(90));
        assert!(resolved(&start).is_ok());
    }

    #[test]
    fn a_shell_default_needs_its_dialect() {
        let text = "a: ${A:-x}\nb: ${NONE:-http://${oc.env:A}:1}\nc: ${E:-empty}\nd: ${NONE:-}\n";
        let node = Document::with_dialect(text, "c.yaml", SHELL).unwrap();
        let env = env();
        let node = Interpolator::new(&env).with_dialect(SHELL).resolve(&node).unwrap();
        for (key, value) in [("a", "env"), ("b", "http://env:1"), ("c", "empty"), ("d", "")] {
            assert_eq!(node.at(key).unwrap().as_str(), Some(value), "{key}");
        }
        let errors = resolved("a: ${A:-x}\n").unwrap_err();
        assert_eq!(errors.first().kind(), &ErrorKind::UnknownResolver("A".into()));
    }

    #[test]
    fn one_value_resolves_without_the_rest() {
        let root = Document::from_str("a: x${b}\nb: 1\nc: ${nope}\n", "c.yaml").unwrap();
        let with = Interpolator::default();
        let value = with.resolve_at(&root, "a").unwrap().unwrap();
        assert_eq!(value.as_str(), Some("x1"));
        assert_eq!(with.resolve_at(&root, "zz").unwrap(), None);
        assert!(with.resolve_at(&root, "c").is_err());
    }

    #[test]
    fn a_value_of_the_environment_is_marked_as_not_to_be_shown() {
        let node = resolved("a: ${oc.env:A}\nb: ${a}\nc: 1\nd: ${c}\n").unwrap();
        assert!(node.at("a").unwrap().origin.is_interpolated());
        assert!(node.at("b").unwrap().origin.is_interpolated());
        assert!(!node.at("d").unwrap().origin.is_interpolated());
    }

    #[test]
    fn a_resolver_of_ones_own_gets_finished_arguments() {
        let root = Document::from_str("a: 2\nx: ${sum:1,${a}}\n", "c.yaml").unwrap();
        let sum: ResolverFn = Box::new(|arguments| {
            let ints = arguments.iter().map(|node| match node.value {
                Value::Int(value) => Ok(value),
                _ => Err("`sum` adds integers".to_owned()),
            });
            ints.sum::<Result<i128, _>>().map(Value::Int)
        });
        let node = Interpolator::default().with_resolver("sum", sum).resolve(&root).unwrap();
        assert_eq!(node.at("x").unwrap().value, Value::Int(3));
    }
}
