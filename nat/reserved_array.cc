// SPDX-License-Identifier: Apache-2.0
#include "nat/reserved_array.h"

#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace hnv {

void* reserve_pages(size_t bytes) {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) throw std::bad_alloc();
  // Large pages where there is much of it; otherwise small ones do.
  (void)madvise(start, bytes, MADV_HUGEPAGE);
  (void)madvise(start, bytes, MADV_DONTDUMP);
  return start;
}

void release_pages(void* start, size_t bytes) noexcept { (void)munmap(start, bytes); }

void populate_pages(void* start, size_t bytes) noexcept {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(start) & ~(page - 1);
  const auto last = reinterpret_cast<uintptr_t>(start) + bytes;
  char* from = static_cast<char*>(start) - (reinterpret_cast<uintptr_t>(start) - first);
  (void)madvise(from, last - first, MADV_POPULATE_WRITE);
}

}  // namespace hnv
