// SPDX-License-Identifier: Apache-2.0
#include "tests/pipeline/allocations.h"

#include <cstdlib>
#include <new>

namespace hnv {
namespace {

thread_local size_t count = 0;

}  // namespace

void count_allocations() { count = 0; }
size_t allocations() { return count; }
void note_allocation() { ++count; }

}  // namespace hnv

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HNV_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HNV_OWN_MALLOC 0
#endif
#endif
#ifndef HNV_OWN_MALLOC
#define HNV_OWN_MALLOC 1
#endif

#if HNV_OWN_MALLOC
// NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier): the C library's names
extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) {
  hnv::note_allocation();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  hnv::note_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  hnv::note_allocation();
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  hnv::note_allocation();
  return __libc_memalign(alignment, bytes);
}
}
// NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier)
#else
// The sanitizers own malloc; operator new goes there.
void* operator new(size_t bytes) {
  hnv::note_allocation();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif
