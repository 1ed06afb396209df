//! The programs of a run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{error::Error, service::Service};

/// Puts the programs of services into `folder`, see [`stage_programs`].
pub(crate) fn stage_binaries(folder: &Path, services: impl Iterator<Item = Service>) -> Result<(), Error> {
    let programs: Vec<PathBuf> = services.map(|service| service.binary().into()).collect();
    stage_programs(folder, &programs)
}

/// Whether a service's program is there to be put anywhere.
pub(crate) fn is_built(service: Service) -> bool {
    is_there(service.binary().as_ref())
}

/// The same of any program.
pub(crate) fn is_there(program: &Path) -> bool {
    let own = std::env::current_exe().unwrap_or_default();
    own.ancestors().skip(1).take(2).any(|folder| folder.join(program).is_file())
}

/// Puts programs into `folder`: from where this program is, or from the folder
/// above, as cargo lays them out. A build during the run then changes nothing in
/// it.
pub(crate) fn stage_programs(folder: &Path, programs: &[PathBuf]) -> Result<(), Error> {
    let own = std::env::current_exe().map_err(Error::program("this program"))?;
    let beside = own.ancestors().skip(1).take(2);
    let complete = |folder: &&Path| programs.iter().all(|program| folder.join(program).is_file());
    let Some(source) = beside.clone().find(complete) else {
        let place = beside.last().unwrap_or(&own);
        let missing = programs.iter().filter(|program| !place.join(program).is_file());
        let missing: Vec<String> = missing.map(|program| program.display().to_string()).collect();
        return Err(Error::Binaries { folder: place.into(), missing: missing.join(", ") });
    };
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    for program in programs {
        let (from, to) = (source.join(program), folder.join(program.file_name().unwrap_or(program.as_os_str())));
        // A build replaces a program's file; it does not write into it.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(Error::file(&from))?;
    }
    Ok(())
}
