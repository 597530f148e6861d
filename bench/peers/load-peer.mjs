// Node looks for packages from the folder of the file that imports them. The build lies in dist/, the peers in
// node_modules beside this file, which therefore stays where it is.
export const loadPeer = (name) => import(name);
