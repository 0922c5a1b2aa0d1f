#pragma once

/// Marks a function that is compiled for several instruction sets, the best of which is picked when the program
/// starts: AVX-512, AVX2 + FMA, and the baseline. A lambda inside is a function of its own, which has the baseline
/// only: put the inner loop in such a function and call it from the body of parallel_for.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__)
#define DNAS_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DNAS_MULTIVERSION
#endif
