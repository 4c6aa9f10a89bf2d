#include "template/initramfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>
#include <memory>
#include <string_view>

#include "base/io.h"

namespace wrenn::template_ {
namespace {

constexpr size_t kMaxGuestProgram = 64 << 20;
constexpr size_t kMaxModule = 64 << 20;

struct FreeWriter {
  void operator()(archive* a) const { ::archive_write_free(a); }
};
struct FreeReader {
  void operator()(archive* a) const { ::archive_read_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const { ::archive_entry_free(e); }
};

tl::unexpected<Error> ArchiveError(const char* what, archive* a) {
  const int error = ::archive_errno(a);
  if (error > 0) return Fail(ErrnoError(what, error));
  const char* text = ::archive_error_string(a);
  return Fail(Code::kInternal, "{}: {}", what, text ? text : "unknown error");
}

class CpioWriter {
 public:
  Status Open(const std::string& path) {
    archive_.reset(::archive_write_new());
    if (!archive_) return Fail(Code::kResourceExhausted, "no memory for the initramfs");
    if (::archive_write_set_format_cpio_newc(archive_.get()) != ARCHIVE_OK ||
        ::archive_write_add_filter_none(archive_.get()) != ARCHIVE_OK ||
        ::archive_write_open_filename(archive_.get(), path.c_str()) != ARCHIVE_OK) {
      return ArchiveError("cannot write the initramfs", archive_.get());
    }
    return {};
  }

  Status Add(const char* path, mode_t mode, std::string_view content = {}, dev_t device = 0) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(::archive_entry_new2(archive_.get()));
    if (!entry) return Fail(Code::kResourceExhausted, "no memory for the initramfs");
    ::archive_entry_set_pathname(entry.get(), path);
    ::archive_entry_set_mode(entry.get(), mode);
    ::archive_entry_set_nlink(entry.get(), 1);
    ::archive_entry_set_ino(entry.get(), ++inode_);
    ::archive_entry_set_uid(entry.get(), 0);
    ::archive_entry_set_gid(entry.get(), 0);
    ::archive_entry_set_mtime(entry.get(), 0, 0);
    ::archive_entry_set_rdev(entry.get(), device);
    ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
    if (::archive_write_header(archive_.get(), entry.get()) != ARCHIVE_OK ||
        (!content.empty() && ::archive_write_data(archive_.get(), content.data(), content.size()) !=
                                 static_cast<la_ssize_t>(content.size()))) {
      return ArchiveError("cannot write the initramfs", archive_.get());
    }
    return {};
  }

  Status Close() {
    if (::archive_write_close(archive_.get()) == ARCHIVE_OK) return {};
    return ArchiveError("cannot write the initramfs", archive_.get());
  }

 private:
  std::unique_ptr<archive, FreeWriter> archive_;
  int inode_ = 0;
};

// All regular files below modules/ by name.
Result<std::map<std::string, std::string>> ReadModuleFiles(const std::string& path) {
  const std::unique_ptr<archive, FreeReader> reader(::archive_read_new());
  if (!reader) return Fail(Code::kResourceExhausted, "no memory for the initramfs");
  if (::archive_read_support_format_cpio(reader.get()) != ARCHIVE_OK ||
      ::archive_read_open_filename(reader.get(), path.c_str(), 64 << 10) != ARCHIVE_OK) {
    return ArchiveError("cannot read the initramfs", reader.get());
  }
  constexpr std::string_view kFolder = "modules/";
  std::map<std::string, std::string> files;
  archive_entry* entry = nullptr;
  int status;
  while ((status = ::archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK) {
    const char* raw = ::archive_entry_pathname(entry);
    const std::string_view name = raw ? raw : "";
    if (::archive_entry_filetype(entry) != AE_IFREG || !name.starts_with(kFolder)) continue;
    const la_int64_t size = ::archive_entry_size(entry);
    if (size < 0 || static_cast<size_t>(size) > kMaxModule) {
      return Fail(Code::kDataLoss, "the initramfs is damaged: '{}' is too large", name);
    }
    std::string content(static_cast<size_t>(size), '\0');
    if (::archive_read_data(reader.get(), content.data(), content.size()) != size) {
      return ArchiveError("cannot read the initramfs", reader.get());
    }
    files.emplace(name.substr(kFolder.size()), std::move(content));
  }
  if (status != ARCHIVE_EOF) return ArchiveError("cannot read the initramfs", reader.get());
  return files;
}

}  // namespace

Status WriteInitramfs(const std::string& path, const std::string& guest_program,
                      const std::vector<KernelModule>& modules) {
  auto program = ReadFile(guest_program, kMaxGuestProgram);
  if (!program) return Fail(program.error().WithContext("cannot read the guest program"));
  CpioWriter cpio;
  RETURN_IF_ERROR(cpio.Open(path));
  for (const char* folder : {"dev", "modules", "newroot", "proc", "sys"}) {
    RETURN_IF_ERROR(cpio.Add(folder, S_IFDIR | 0755));
  }
  RETURN_IF_ERROR(cpio.Add("dev/console", S_IFCHR | 0600, {}, ::makedev(5, 1)));
  RETURN_IF_ERROR(cpio.Add("init", S_IFREG | 0755, *program));
  std::string order;
  for (const KernelModule& module : modules) {
    order += module.file + "\n";
    RETURN_IF_ERROR(cpio.Add(("modules/" + module.file).c_str(), S_IFREG | 0644, module.content));
  }
  RETURN_IF_ERROR(cpio.Add("modules/order", S_IFREG | 0644, order));
  return cpio.Close();
}

Result<std::vector<KernelModule>> ReadInitramfsModules(const std::string& path) {
  ASSIGN_OR_RETURN(auto files, ReadModuleFiles(path));
  const auto order = files.find("order");
  if (order == files.end()) {
    return Fail(Code::kDataLoss, "the initramfs '{}' has no list of modules", path);
  }
  std::vector<KernelModule> modules;
  std::string_view rest = order->second;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const auto file = files.find(std::string(rest.substr(0, end)));
    if (file == files.end()) {
      return Fail(Code::kDataLoss, "the initramfs '{}' lacks the module '{}'", path,
                  rest.substr(0, end));
    }
    modules.push_back({file->first, file->second});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return modules;
}

}  // namespace wrenn::template_
