/// Has buffers of 128 KiB and more given back to the system when they are freed.
///
/// Left to itself, glibc's allocator raises that limit to the size of what was freed, up to 32 MiB, and
/// from then on keeps such buffers in its arenas, scattered: a server that had served 120 clients, no
/// more than 20 at a time, kept 200 MB, and 20 to 47 MB with a limit that stays.
pub(crate) fn give_back_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it takes numbers alone, and changes how memory is had from here on.
        let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 128 << 10;
