// Blocking I/O with deadlines on descriptors: the small set that guest and host share.
//
// Descriptors that are waited for must be non-blocking (SetNonBlocking); files need not be.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace wrenn {

Status SetNonBlocking(int fd);

// Waits until `fd` is ready for `events` (POLLIN, POLLOUT, ...; errors and hang-up always count).
// Answers the ready events; kDeadlineExceeded when the deadline passed first.
Result<short> WaitReady(int fd, short events, Deadline deadline);

// Reads what there is, at least one byte, waiting for it. Answers 0 at end of file.
Result<size_t> ReadSome(int fd, std::span<char> out, Deadline deadline);

// write(2) on a descriptor of any kind, without SIGPIPE on sockets.
ssize_t WriteQuietly(int fd, std::string_view data);

// Writes all of `data`. Never raises SIGPIPE on sockets; on pipes the caller ignores it.
Status WriteAll(int fd, std::string_view data, Deadline deadline);

// A connected pair of non-blocking, close-on-exec unix stream sockets.
Result<std::pair<UniqueFd, UniqueFd>> SocketPair();

// An eventfd, non-blocking and close-on-exec; Signal() wakes whoever polls it, Drain() resets it.
Result<UniqueFd> MakeEventFd();
void SignalEventFd(int fd);
void DrainEventFd(int fd);

// The whole of a file of at most `limit` bytes; kOutOfRange when it is larger.
Result<std::string> ReadFile(const std::string& path, size_t limit = 16 << 20);

// Replaces `path` by a file of this content, so that it is the old one or the new one whatever
// happens: written beside it, fsync, rename, fsync of the folder.
Status WriteFileAtomically(const std::string& path, std::string_view content, unsigned mode = 0644);
// The same without the two fsyncs: for what is synced later with all around it, or is worth nothing
// after a crash of the host.
Status ReplaceFile(const std::string& path, std::string_view content, unsigned mode = 0644);

// Makes a file's content durable (fsync).
Status SyncFile(const std::string& path);

// Makes the folder's entries durable (fsync).
Status SyncDirectory(const std::string& path);

}  // namespace wrenn
