//! Bodies in; of each that is verified the fields of the server's `Verified` out, in their order, but for
//! those that say how it came.

use std::collections::HashMap;

use fractal_lba_core::{Alg, Checked, Keyring, VERSION};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::guard::guarded;

/// A run of so many HMAC records is over before another thread could have taken the lock.
const HELD_MAX: usize = 8;

type Milliseconds = Option<u64>;

/// What Python keeps of a key: its tenant, and the first and the last millisecond it is valid at.
struct Kept {
    tenant: Py<PyString>,
    kid: Py<PyString>,
    not_before_ms: Milliseconds,
    not_after_ms: Milliseconds,
}

/// Checks runs of bodies under one ring.
#[pyclass(frozen, module = "fractal_lba.native")]
pub(crate) struct Checker {
    ring: Keyring,
    keys: HashMap<String, Kept>,
    family: Py<PyString>,
    /// One signature takes as long as a run that holds the lock may.
    has_ed25519: bool,
}

/// What is found of a body, with the bytes made of it.
struct Found<'a> {
    checked: Checked<'a>,
    answer: Vec<u8>,
    record: Vec<u8>,
}

#[pymethods]
impl Checker {
    /// Args:
    ///     ring: A keyring's file (`specs/pcs.md` section 3).
    ///     keys: Tenant and time of validity of each kid of it, in ms since 1970.
    ///     family: What a record of version 1.0 is remembered under.
    ///
    /// Raises:
    ///     ValueError: The file breaks a rule, or is of more than 16 MiB.
    #[new]
    fn new(
        py: Python<'_>,
        ring: &[u8],
        keys: HashMap<String, (Py<PyString>, Milliseconds, Milliseconds)>,
        family: Py<PyString>,
    ) -> PyResult<Self> {
        let ring = Keyring::parse(ring, |_| None)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let has_ed25519 = ring.keys().iter().any(|key| key.alg() == Alg::Ed25519);
        let keys = keys.into_iter().map(|(kid, (tenant, not_before_ms, not_after_ms))| {
            let name = PyString::new(py, &kid).unbind();
            (kid, Kept { tenant, kid: name, not_before_ms, not_after_ms })
        });
        Ok(Self { keys: keys.collect(), ring, family, has_ed25519 })
    }

    /// Returns for each body its fields, or None: it is not of version 1.0 in its canonical spelling, or
    /// not signed by a key of the ring.
    ///
    /// Raises:
    ///     RuntimeError: A bug was met.
    fn check<'py>(
        &self,
        py: Python<'py>,
        bodies: Vec<PyBackedBytes>,
    ) -> PyResult<Bound<'py, PyList>> {
        let check = || guarded(|| self.found(&bodies));
        let found = match self.has_ed25519 || bodies.len() > HELD_MAX {
            true => py.detach(check),
            false => check(),
        };
        let rows = found.map_err(PyRuntimeError::new_err)?.into_iter().map(|found| match found {
            Some(found) => self.row(py, &found),
            None => Ok(None),
        });
        PyList::new(py, rows.collect::<PyResult<Vec<_>>>()?)
    }
}

impl Checker {
    fn found<'a>(&'a self, bodies: &'a [PyBackedBytes]) -> Vec<Option<Found<'a>>> {
        let bodies: Vec<&[u8]> = bodies.iter().map(|body| &**body).collect();
        let found = self.ring.check_plain(&bodies).into_iter().map(|checked| {
            let checked = checked?;
            Some(Found {
                answer: checked.outcome.decision_body(checked.pcs_id, &checked.record_digest),
                record: checked.stored.concat(),
                checked,
            })
        });
        found.collect()
    }

    fn row<'py>(
        &self,
        py: Python<'py>,
        found: &Found<'_>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let checked = &found.checked;
        let Some(kept) = self.keys.get(&checked.key.kid) else { return Ok(None) };
        let text = |text: &str| PyString::new(py, text).into_any();
        let fields = [
            kept.tenant.bind(py).clone().into_any(),
            self.family.bind(py).clone().into_any(),
            text(checked.pcs_id),
            kept.kid.bind(py).clone().into_any(),
            kept.not_before_ms.into_pyobject(py)?.into_any(),
            kept.not_after_ms.into_pyobject(py)?.into_any(),
            PyString::intern(py, VERSION).into_any(),
            text(&checked.record_digest),
            text(&checked.content_digest),
            checked.created_at_ms.into_pyobject(py)?.into_any(),
            checked.outcome.status().into_pyobject(py)?.into_any(),
            PyBytes::new(py, &found.answer).into_any(),
            PyString::intern(py, checked.outcome.params_version).into_any(),
            true.into_pyobject(py)?.to_owned().into_any(),
            py.None().into_bound(py),
            PyBytes::new(py, &found.record).into_any(),
            text(checked.shard_id),
            checked.epoch.into_pyobject(py)?.into_any(),
            PyString::intern(py, checked.regime.as_str()).into_any(),
        ];
        PyTuple::new(py, fields).map(Some)
    }
}
