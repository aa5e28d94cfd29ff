//! The Fractal LBA core for Python: a run of records checked in one call, without the interpreter's lock.
//!
//! Pure, as the core is: no I/O, no clock, no state but the ring a checker was made with. What it says
//! yes to is what the Python way takes, with the same values; of everything else it says nothing, and the
//! Python way alone refuses (`specs/adr/0016-native-code-in-the-verify-stage.md`).
#![forbid(unsafe_code)]

mod check;
mod guard;

use pyo3::prelude::*;

/// What `fractal_lba.native` loads.
#[pymodule]
mod _core {
    use fractal_lba_core::CURRENT_PARAMS;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::check::Checker;

    /// What may be asked of this and what it gives: `fractal_lba/native/loading.py` refuses any other.
    #[pymodule_export]
    const INTERFACE: u32 = 1;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::guard::listen();
        let params = CURRENT_PARAMS;
        module.add("PARAMS", (params.version, params.tol_d, params.tol_budget))
    }
}
