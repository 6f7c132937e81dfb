//! The run's files as the interpreter's: every path goes to WASI, which is the sandbox. Here are kept
//! permissions, which WASI 0.1 does not know, and /tmp and /dev where the files have none: scripts
//! expect them, and they go with the run, or, /tmp of a session, with that. They are not listed in /,
//! which is what the user mounted.

use bashkit::{DirEntry, FileSystem, FileType, FsBackend, InMemoryFs, Metadata, Result, async_trait};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::io::{Error, ErrorKind, Read, Write, copy};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

unsafe extern "C" {
    fn symlink(target: *const c_char, link: *const c_char) -> c_int;
}

pub struct Files {
    modes: Mutex<HashMap<PathBuf, u32>>,
    scratch: InMemoryFs,
    scratched: Vec<&'static str>,
    session_tmp: Option<PathBuf>, // where a session has its /tmp
}

fn c_text(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::new(ErrorKind::InvalidInput, "a zero byte in a path").into())
}

/// A script can be run: it says by what.
fn is_script(path: &Path) -> bool {
    let mut head = [0u8; 2];
    fs::File::open(path).is_ok_and(|mut f| f.read_exact(&mut head).is_ok() && head == *b"#!")
}

impl Files {
    /// `session_tmp`: the folder that is /tmp where the files have none.
    pub fn new(session_tmp: Option<PathBuf>) -> Self {
        let missing = |at: &&str| fs::symlink_metadata(at).is_err();
        let mut scratched: Vec<_> = ["/tmp", "/dev"].into_iter().filter(missing).collect();
        let session_tmp = session_tmp.filter(|at| {
            scratched.contains(&"/tmp") && (fs::create_dir(at).is_ok() || at.is_dir())
        });
        scratched.retain(|at| *at != "/tmp" || session_tmp.is_none());
        Files { modes: Mutex::default(), scratch: InMemoryFs::new(), scratched, session_tmp }
    }

    /// Below the session's /tmp.
    fn below_tmp<'a>(&self, path: &'a Path) -> Option<(&Path, &'a Path)> {
        Some((self.session_tmp.as_deref()?, path.strip_prefix("/tmp").ok()?))
    }

    /// Where it stands among what is mounted.
    fn real<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        match self.below_tmp(path) {
            Some((tmp, rest)) if rest.as_os_str().is_empty() => Cow::Owned(tmp.to_path_buf()),
            Some((tmp, rest)) => Cow::Owned(tmp.join(rest)),
            None => Cow::Borrowed(path),
        }
    }

    /// It stands in memory.
    fn scratch(&self, path: &Path) -> Option<&InMemoryFs> {
        self.scratched.iter().any(|at| path.starts_with(at)).then_some(&self.scratch)
    }

    fn describe(&self, path: &Path, m: &fs::Metadata, look: bool) -> Metadata {
        let kind = m.file_type();
        let (file_type, usual) = if kind.is_dir() {
            (FileType::Directory, 0o755)
        } else if kind.is_symlink() {
            (FileType::Symlink, 0o777)
        } else {
            (FileType::File, if look && is_script(path) { 0o755 } else { 0o644 })
        };
        let modes = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        Metadata {
            file_type,
            size: m.len(),
            mode: modes.get(path).copied().unwrap_or(usual),
            modified: m.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            created: m.created().unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }

    fn forget(&self, path: &Path) -> Option<u32> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner).remove(path)
    }
}

#[async_trait]
impl FsBackend for Files {
    async fn read(&self, path: &Path) -> Result<Vec<u8>> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.read_file(path).await;
        }
        let path = &*self.real(path);
        Ok(fs::read(path)?)
    }

    async fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.write_file(path, content).await;
        }
        let path = &*self.real(path);
        Ok(fs::write(path, content)?)
    }

    async fn append(&self, path: &Path, content: &[u8]) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.append_file(path, content).await;
        }
        let path = &*self.real(path);
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
        Ok(file.write_all(content)?)
    }

    async fn mkdir(&self, path: &Path, recursive: bool) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.mkdir(path, recursive).await;
        }
        let path = &*self.real(path);
        Ok(if recursive { fs::create_dir_all(path)? } else { fs::create_dir(path)? })
    }

    async fn remove(&self, path: &Path, recursive: bool) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.remove(path, recursive).await;
        }
        let path = &*self.real(path);
        let folder = fs::symlink_metadata(path)?.is_dir();
        match (folder, recursive) {
            (true, true) => fs::remove_dir_all(path)?,
            (true, false) => fs::remove_dir(path)?,
            (false, _) => fs::remove_file(path)?,
        }
        self.forget(path);
        Ok(())
    }

    async fn stat(&self, path: &Path) -> Result<Metadata> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.stat(path).await;
        }
        let path = &*self.real(path);
        match fs::symlink_metadata(path) {
            Ok(m) => Ok(self.describe(path, &m, true)),
            // Where what is mounted stands below the root, there is a root all the same.
            Err(_) if path == Path::new("/") => Ok(Metadata {
                file_type: FileType::Directory,
                mode: 0o755,
                ..Metadata::default()
            }),
            Err(e) => Err(e.into()),
        }
    }

    async fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.read_dir(path).await;
        }
        let path = &*self.real(path);
        let mut entries = Vec::new();
        let list = match fs::read_dir(path) {
            Err(_) if path == Path::new("/") => return Ok(entries),
            list => list?,
        };
        for entry in list {
            let entry = entry?;
            let at = path.join(entry.file_name());
            // One that went meanwhile is not there.
            if let (Ok(name), Ok(m)) = (entry.file_name().into_string(), fs::symlink_metadata(&at)) {
                entries.push(DirEntry { name, metadata: self.describe(&at, &m, false) });
            }
        }
        Ok(entries)
    }

    async fn exists(&self, path: &Path) -> Result<bool> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.exists(path).await;
        }
        Ok(path == Path::new("/") || fs::symlink_metadata(self.real(path)).is_ok())
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        match (self.scratch(from), self.scratch(to)) {
            (Some(scratch), Some(_)) => return scratch.rename(from, to).await,
            (None, None) if self.below_tmp(from).is_some() == self.below_tmp(to).is_some() => {}
            _ if self.stat(from).await?.file_type.is_file() => {
                self.copy(from, to).await?;
                return self.remove(from, false).await;
            }
            _ => return Err(Error::from(ErrorKind::CrossesDevices).into()),
        }
        let real = self.real(from);
        fs::rename(&real, self.real(to))?;
        if let Some(mode) = self.forget(&real) {
            self.chmod(to, mode).await?;
        }
        Ok(())
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        if self.scratch(from).or(self.scratch(to)).is_some() {
            return self.write(to, &self.read(from).await?).await;
        }
        let mut source = fs::File::open(self.real(from))?;
        copy(&mut source, &mut fs::File::create(self.real(to))?)?;
        Ok(())
    }

    async fn symlink(&self, target: &Path, link: &Path) -> Result<()> {
        if let Some(scratch) = self.scratch(link) {
            return scratch.symlink(target, link).await;
        }
        let (target, link) = (c_text(target)?, c_text(&self.real(link))?);
        // SAFETY: two strings that end with a zero byte and outlive the call.
        match unsafe { symlink(target.as_ptr(), link.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error().into()),
        }
    }

    async fn read_link(&self, path: &Path) -> Result<PathBuf> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.read_link(path).await;
        }
        let path = &*self.real(path);
        Ok(fs::read_link(path)?)
    }

    async fn chmod(&self, path: &Path, mode: u32) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.chmod(path, mode).await;
        }
        let path = &*self.real(path);
        let mut modes = self.modes.lock().unwrap_or_else(PoisonError::into_inner);
        modes.insert(path.to_path_buf(), mode);
        Ok(())
    }

    async fn set_modified_time(&self, path: &Path, time: SystemTime) -> Result<()> {
        if let Some(scratch) = self.scratch(path) {
            return scratch.set_modified_time(path, time).await;
        }
        let path = &*self.real(path);
        if fs::symlink_metadata(path)?.is_dir() {
            return Ok(()); // a folder is not opened for writing
        }
        Ok(fs::OpenOptions::new().append(true).open(path)?.set_modified(time)?)
    }
}
