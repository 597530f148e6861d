import { KernelNames } from '../kernel-names.js';

/**
 * Words that the names of a kernel must not be: C++ keywords and alternative tokens, what CUDA C++ predeclares, macros of
 * the compilers, and what the printer itself calls. CUDA C++ Programming Guide, "C++ Language Extensions".
 */
const reserved = new Set(
  `alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
  co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do double
  dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace new noexcept
  not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return short
  signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
  typename typeof union unsigned using virtual void volatile wchar_t while xor xor_eq
  threadIdx blockIdx blockDim gridDim warpSize dim3
  assert linux unix i386 INFINITY NAN NULL EOF errno stdin stdout stderr
  f2c parameters workgroup_x workgroup_y workgroup_z local_index subgroup_lane subgroup_index group_index group_count`
    .split(/\s+/)
    .filter((word) => word !== ''),
);

/** Functions that the C library or the compiler declares with C linkage, as an entry point is. */
const libraryFunctions = new Set(
  `abort abs acos acosh asin asinh atan atan2 atanh atof atoi atol calloc cbrt ceil clock copysign cos cosh cyl_bessel_i0 div
  drem erf erfc erfcinv erfcx erfinv exit exp exp10 exp2 expm1 fabs fdim floor fma fmax fmin fmod free frexp gamma hypot ilogb
  isfinite isinf isnan j0 j1 jn labs ldexp ldiv lgamma llabs log log10 log1p log2 logb lrint lround main malloc max memcmp
  memcpy memmove memset min modf nan nearbyint norm normcdf normcdfinv pow printf putchar puts rand rcbrt remainder remquo
  rhypot rint rnorm round rsqrt scalb scalbln scalbn signbit significand sin sincos sincospi sinh sinpi cospi sqrt srand
  strcat strchr strcmp strcpy strlen tan tanh tgamma time trunc y0 y1 yn`
    .split(/\s+/)
    .filter((word) => word !== ''),
);

/** A C++ identifier as near to the wish as one may be; `__` and `_X` belong to the compiler. */
function identifier(wish: string): string {
  return wish.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=[0-9]|_)/, 'v');
}

/** The name of a kernel's function in the CUDA module: `cuModuleGetFunction` asks for it. */
export function cudaEntryPoint(kernel: { readonly name: string }): string {
  const name = identifier(kernel.name);
  return reserved.has(name) || libraryFunctions.has(name) ? `${name}_` : name;
}

/** The names of a kernel in its text; `entryPoint`: its function's name. */
export function cudaNames(ownNames: Iterable<string>, entryPoint: string): KernelNames {
  return new KernelNames(identifier, [...reserved, entryPoint, `${entryPoint}_parameters`], ownNames);
}
